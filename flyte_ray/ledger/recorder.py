"""Record one run: fold each event into the live state and store it by group commit.

Invariants: the log's order is the order of folding; an event is stored before or with all later ones; `commit` returns
only when all that was recorded is stored. A store that fails is asked again: the run waits, it does not die, and its
committing thread ends for nothing but the recorder's end.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from flyte_ray.errors import RunFencedError, StoreError
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.log import RunLog
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.spec.ids import RunId

LINGER_S: Final = 1.0
"""How long an event may wait for company when nothing waits for it."""
BATCH: Final = 4096
"""Events that are stored without waiting for more."""
BATCH_BYTES: Final = 1 << 20
"""So are events of about this size together."""
SEGMENT_BYTES: Final = 8 << 20
"""Most that is put into one segment, unless a single event is larger: what waited for a store is stored in pieces."""
CAP_BYTES: Final = 64 << 20
"""Most that may wait to be stored: beyond, nothing is handed out."""
_EVENT_BYTES: Final = 200
"""About what an event takes without its texts."""
CLOSE_S: Final = 5.0
"""How long a recorder that is closed waits for a store that does not answer."""

HUNG_S: Final = 1.0
"""How much longer, where the store does not even say that it is away."""

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
        self._log = log
        self._on_stored = on_stored
        self._pending: list[Event] = []
        self.recorded = self.stored = 0
        self._unstored_bytes = self._pending_bytes = 0
        self._hurry = False
        self._closed = False
        self._given_up: StoreError | None = None
        # Taken by itself where nothing is waited for: a condition's own way in and out is written in Python.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        log.open(holder, now_us(), partial(fold, self.state))
        self._thread = threading.Thread(target=self._store_batches, name="flyte-ray-commit", daemon=True)
        self._thread.start()

    def record(self, event: Event) -> None:
        """Fold an event and queue it for the log.

        Raises:
            RunFencedError: Another ledger continues this run; nothing may be done here any more.

        """
        if self.fenced:
            raise self.fenced
        fold(self.state, event)
        size = _size(event)
        with self._lock:
            pending = self._pending
            pending.append(event)
            self._pending_bytes += size
            self._unstored_bytes += size
            self.recorded += 1
            # Waking the thread for each event would cost more than the event.
            if len(pending) == 1 or len(pending) == BATCH or self._pending_bytes >= BATCH_BYTES:
                self._changed.notify_all()

    @property
    def failure(self) -> Exception | None:
        """Why not all will be stored that was recorded; None if it will, as far as is known."""
        return self.fenced or self._given_up

    @property
    def position(self) -> int:
        """Where the next segment goes."""
        return self._log.position

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be stored that nothing more may be handed out."""
        return self._unstored_bytes > CAP_BYTES

    @property
    def waits_for_store(self) -> str | None:
        """Why the store does not answer at the moment; None if it does, and keeps up."""
        reason = self._log.patience.reason
        if not self.is_full:
            return reason
        full = (
            f"{self._unstored_bytes >> 20} MiB of events wait to be stored, and no action begins until they are fewer"
        )
        return f"{reason}; {full}" if reason else full

    @property
    def has_to_pack(self) -> bool:
        """Whether `pack` has something to do."""
        return self._log.has_to_pack

    def pack(self) -> bool:
        """See `RunLog.pack`."""
        return self._log.pack()

    def hurry(self) -> None:
        """Store what is recorded without waiting for more, because something waits for it."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()

    def commit(self, timeout_s: float | None = None) -> None:
        """Wait until everything recorded so far is stored, for as long as the store needs, unless there is a timeout.

        Raises:
            RunFencedError: It never will be, because another ledger continues the run.
            StoreError: The recorder is closed, and the store did not answer in time.

        """
        with self._changed:
            mark = self.recorded
            self._hurry = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self.stored >= mark or self.fenced or self._given_up, timeout_s):
                self._give_up(StoreError(f"The store of run {self.state.id} has not answered for {timeout_s:g} s."))
            if error := self.failure:
                raise error

    def check(self) -> bool:
        """Ask the log whether the run is still ours; if it is not, it is fenced from here on."""
        try:
            self._log.check()
        except RunFencedError as error:
            self._fence(error)
            self._on_stored()
        return self.fenced is None

    def close(self) -> None:
        """Store what is left, unless another ledger continues the run, and end the committing thread.

        What a store that is away, or hangs, has not taken within `CLOSE_S` is lost, like all that is recorded after the
        last commit of a process that dies: nobody has been told of it.
        """
        self._log.patience.limit(CLOSE_S)
        with contextlib.suppress(RunFencedError, StoreError):
            self.commit(CLOSE_S + HUNG_S)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(HUNG_S)  # a put that hangs is left to itself

    def _store_batches(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closed)
                if self._closed:
                    return
                self._changed.wait_for(lambda: self._hurry or self._closed or self._is_much, timeout=LINGER_S)
                batch, size = self._take()
            if batch and not self._store(batch):
                self._tell()
                return
            with self._changed:
                self.stored += len(batch)
                self._unstored_bytes -= size
                self._changed.notify_all()
            self._tell()

    def _tell(self) -> None:
        try:
            self._on_stored()
        except Exception:
            # What follows from it may fail for one run in one way; that events are stored must go on.
            _log.exception("run %s could not be moved on after events were stored", self.state.id)

    @property
    def _is_much(self) -> bool:
        return len(self._pending) >= BATCH or self._pending_bytes >= BATCH_BYTES

    def _take(self) -> tuple[list[Event], int]:
        """Take the oldest events that fit into a segment, and say how large they are."""
        batch, size = self._pending, self._pending_bytes
        if size > SEGMENT_BYTES:
            count = size = 0
            for event in batch:
                if count and size + _size(event) > SEGMENT_BYTES:
                    break
                count, size = count + 1, size + _size(event)
            batch = batch[:count]
        self._pending, self._pending_bytes = self._pending[len(batch) :], self._pending_bytes - size
        # What somebody waits for may be among the rest.
        self._hurry = self._hurry and bool(self._pending)
        return batch, size

    def _store(self, batch: list[Event]) -> bool:
        try:
            self._log.patience.ask(lambda: self._append(batch))
        except (RunFencedError, StoreError) as error:
            if isinstance(error, RunFencedError):
                self._fence(error)
                return False
            with self._changed:
                self._give_up(error)
            return False
        return True

    def _give_up(self, error: StoreError) -> None:
        if self._given_up is None:
            self._given_up = error
            _log.warning("the last %d events of run %s are not stored: %s", self.unstored, self.state.id, error)
            self._changed.notify_all()

    def _append(self, batch: list[Event]) -> None:
        try:
            self._log.append(batch)
        except (RunFencedError, StoreError):
            raise
        except Exception as error:
            # Whatever it is, what was recorded must be stored before anybody is told of it: that waits, and says so.
            _log.exception("%d events of run %s could not be stored", len(batch), self.state.id)
            raise StoreError(f"{type(error).__name__}: {error}") from error

    @property
    def unstored(self) -> int:
        """Number of events that are not stored yet."""
        return self.recorded - self.stored

    def _fence(self, error: RunFencedError) -> None:
        with self._changed:
            self.fenced = self.fenced or error
            self._changed.notify_all()


def _size(event: Event) -> int:
    return _EVENT_BYTES + len(event.body or "") + len(event.context or "")


def now_us() -> int:
    """Microseconds since the epoch, UTC: the ledger's clock."""
    return time.time_ns() // 1000
