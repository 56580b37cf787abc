"""Record one run: fold each event into the live state and store it by group commit.

Invariants: the log's order is the order of folding; an event is stored before or with all later ones; `commit` returns
only when all that was recorded is stored. A store that fails is asked again: the run waits, it does not die.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from flyte_ray.errors import RunFencedError, StoreError
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.spec.ids import RunId

LINGER_S: Final = 1.0
"""How long an event may wait for company when nobody waits for it."""
PROBE_S: Final = 0.5
"""Pause before a store that failed is asked again."""

_log = logging.getLogger("flyte_ray.ledger")


class RunRecorder:
    """The live state of a run and its log; safe to use from many threads."""

    def __init__(self, run: RunId, log: RunLog, holder: str) -> None:
        """Open the run for writing and fold what is stored."""
        self.state = RunState(run)
        self.fenced: RunFencedError | None = None
        self._log = log
        self._pending: list[Event] = []
        self._recorded = self._stored = 0
        self._waiting = 0
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
        with self._changed:
            if self.fenced:
                raise self.fenced
            for event in events:
                fold(self.state, event)
            self._pending.extend(events)
            self._recorded += len(events)
            self._changed.notify_all()

    def end_open(self, kind: str, body: str) -> None:
        """Record the same end for every action that has none."""
        with self._changed:
            open_actions = [action for action in self.state.actions.values() if not action.phase.is_terminal]
        if open_actions and not self.fenced:
            self.record(*(Event(kind, now_us(), action.id, action.attempt, body=body) for action in open_actions))

    def commit(self) -> None:
        """Wait until everything recorded so far is stored; raises `RunFencedError` if it never will be."""
        with self._changed:
            mark = self._recorded
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stored >= mark or self.fenced)
            self._waiting -= 1
            if self.fenced:
                raise self.fenced

    def close(self) -> None:
        """Store what is left and end the committing thread."""
        if not self.fenced:
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
                self._changed.wait_for(lambda: self._waiting > 0 or self._closed, timeout=LINGER_S)
                batch, self._pending = self._pending, []
            if not self._store(batch):
                return
            with self._changed:
                self._stored += len(batch)
                self._changed.notify_all()

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
                _log.warning("run %s waits for its store: %s", self.state.id, error)
                time.sleep(PROBE_S)
            else:
                return True


def now_us() -> int:
    """Microseconds since the epoch, UTC: the ledger's clock."""
    return time.time_ns() // 1000
