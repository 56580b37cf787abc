"""Wait until a server answers."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Final

HOST: Final = "127.0.0.1"
NOT_YET: Final = (502, 503, 504)
"""What a server answers that is not ready."""
_LOOK_S: Final = 0.02


def answers(port: int, path: str, timeout_s: float) -> bool:
    """Whether a server on this machine answers a request with another status than `NOT_YET`."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status not in NOT_YET
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until(
    ready: Callable[[], bool], failure: Callable[[], str], limit_s: float, interval_s: float = _LOOK_S
) -> str:
    """Wait until something is ready; return why it will not be, empty if it is."""
    until = time.monotonic() + limit_s
    pause_s = _LOOK_S
    while True:
        failed = failure()
        if failed:
            return failed
        if ready():
            return failure()
        if time.monotonic() > until:
            return f"nothing answered within {limit_s:g} s"
        time.sleep(pause_s)
        pause_s = min(interval_s, pause_s * 2)
