"""Do something for several runs at a time, so that one whose store hangs does not hold back the others.

Invariants: of one run one thing is done at a time; no more threads than `MOST` run, so that as many that
hang hold back the rest. Knows nothing of what is done.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from flyte_ray.spec.ids import RunId

MOST: Final = 16
"""Runs that are seen to at the same time: to open one reads its log into memory."""
_log: Final = logging.getLogger("flyte_ray.ledger")


class SideBySide:
    """Threads that are there while there is something to do."""

    def __init__(self, most: int = MOST) -> None:
        """Use at most so many threads."""
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[tuple[RunId, Callable[[], object], threading.Event]] = deque()
        self._begun: dict[RunId, threading.Event] = {}
        self._threads = 0

    @property
    def runs(self) -> frozenset[RunId]:
        """Runs for which something is being done, or is to be."""
        with self._lock:
            return frozenset(self._begun)

    def begin(self, run: RunId, do: Callable[[], object]) -> threading.Event:
        """Do something for a run, unless something is being done for it; the event is set when that is over.

        Raises:
            RuntimeError: No thread does such things, and the system has none to spare. It may have one the next time.

        """
        with self._lock:
            if run in self._begun:
                return self._begun[run]
            over = self._begun[run] = threading.Event()
            self._waiting.append((run, do, over))
            if self._threads < self._most:
                try:
                    # A daemon: one that hangs with its store must not hold the process at its end.
                    threading.Thread(target=self._work, name="flyte-ray-open", daemon=True).start()
                    self._threads += 1
                except RuntimeError:
                    if not self._threads:
                        self._waiting.pop()
                        del self._begun[run]
                        raise
            return over

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                run, do, over = self._waiting.popleft()
            try:
                do()
            except Exception:
                _log.exception("run %s could not be seen to", run)
            with self._lock:
                del self._begun[run]
            over.set()
