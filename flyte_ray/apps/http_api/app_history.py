"""Remember how apps were used while somebody looked."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Final

from flyte_ray.cluster.app_rates import Counts, rate_between, read_counts

EVERY_S: Final = 5.0
"""Least time between two readings."""
MOST: Final = 720
"""Readings that are kept of an app: an hour of them."""
_rows: Final[dict[str, deque[list[Any]]]] = {}
_last: Final[dict[str, Counts]] = {}
_lock: Final = threading.Lock()


def sample(app: str, replicas: int) -> list[list[Any]]:
    """Read how an app is used, unless that was done a moment ago, and return all readings, oldest first."""
    with _lock:
        before = _last.get(app)
        if before is None or time.monotonic() - before.at >= EVERY_S:
            now = _last[app] = read_counts(app)
            if before is not None:
                row = [time.time_ns() // 1000, replicas, *rate_between(before, now)]
                _rows.setdefault(app, deque(maxlen=MOST)).append(row)
        return list(_rows.get(app, ()))
