"""Wait in tests for what will come true."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(limit_s: float) -> Callable[[Callable[[], object]], None]:
    """Return what waits until something holds, and fails after so many seconds."""

    def until(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + limit_s
        while not holds():
            assert time.monotonic() < deadline, f"it did not come true within {limit_s:g} s"
            time.sleep(0.02)

    return until
