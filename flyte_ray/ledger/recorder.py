"""Record one run: fold each event into the live state and store it by group commit.

Invariants: the log's order is the order of folding; an event is stored before or with all later ones; `commit` returns
only when all that was recorded is stored. A store that fails is asked again: the run waits, it does not die.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from flyte_ray.errors import RunFencedError, StoreError
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.spec.ids import RunId

LINGER_S: Final = 1.0
"""How long an event may wait for company when nothing waits for it."""
BATCH: Final = 4096
"""Events that are stored without waiting for more: about 1 MiB."""
PROBE_S: Final = 0.5
"""Pause before a store that failed is asked again."""

_log = logging.getLogger("flyte_ray.ledger")


class RunRecorder:
    """The live state of a run and its log; safe to use from many threads."""

    def __init__(self, run: RunId, log: RunLog, holder: str, on_stored: Callable[[], None] = lambda: None) -> None:
        """Open the run for writing and fold what is stored.

        Args:
            run: The run.
            log: Its log, not yet open.
            holder: Who writes, for people.
            on_stored: Called from the committing thread after each batch, and when the run is fenced.

        """
        self.state = RunState(run)
        self.fenced: RunFencedError | None = None
        self.waits_for_store: str | None = None
        """Why the store does not answer at the moment."""
        self._log = log
        self._on_stored = on_stored
        self._pending: list[Event] = []
        self.recorded = self.stored = 0
        self._hurry = False
        self._closed = False
        self._changed = threading.Condition()
        for event in log.open(holder, now_us()):
            fold(self.state, event)
        self._thread = threading.Thread(target=self._store_batches, name="flyte-ray-commit", daemon=True)
        self._thread.start()

    def record(self, *events: Event) -> None:
        """Fold events and queue them for the log.

        Raises:
            RunFencedError: Another ledger continues this run; nothing may be done here any more.

        """
        if self.fenced:
            raise self.fenced
        for event in events:
            fold(self.state, event)
        with self._changed:
            self._pending.extend(events)
            self.recorded += len(events)
            # Waking the thread for each event would cost more than the event.
            if len(self._pending) == len(events) or len(self._pending) >= BATCH:
                self._changed.notify_all()

    @property
    def position(self) -> int:
        """Where the next segment goes."""
        return self._log.position

    def hurry(self) -> None:
        """Store what is recorded without waiting for more, because something waits for it."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()

    def commit(self) -> None:
        """Wait until everything recorded so far is stored; raises `RunFencedError` if it never will be."""
        with self._changed:
            mark = self.recorded
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.stored >= mark or self.fenced)
            if self.fenced:
                raise self.fenced

    def close(self) -> None:
        """Store what is left, unless another ledger continues the run, and end the committing thread."""
        with contextlib.suppress(RunFencedError):
            self.commit()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _store_batches(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closed)
                if self._closed:
                    return
                self._changed.wait_for(
                    lambda: self._hurry or self._closed or len(self._pending) >= BATCH, timeout=LINGER_S
                )
                self._hurry = False
                batch, self._pending = self._pending, []
            if batch and not self._store(batch):
                self._on_stored()
                return
            with self._changed:
                self.stored += len(batch)
                self._changed.notify_all()
            self._on_stored()

    def _store(self, batch: list[Event]) -> bool:
        while True:
            try:
                self._log.append(batch)
            except RunFencedError as error:
                with self._changed:
                    self.fenced = error
                    self._changed.notify_all()
                return False
            except StoreError as error:
                self.waits_for_store = str(error)
                _log.warning("run %s waits for its store: %s", self.state.id, error)
                time.sleep(PROBE_S)
            else:
                self.waits_for_store = None
                return True


def now_us() -> int:
    """Microseconds since the epoch, UTC: the ledger's clock."""
    return time.time_ns() // 1000
