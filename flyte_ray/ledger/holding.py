"""Hold runs open: one run with all that belongs to it, and the thread that keeps all of them claimed.

Invariant: a store that does not answer, or hangs with one run, keeps nobody waiting but the threads of that run.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.lease import KEEP_S, Lease
from flyte_ray.ledger.listing import list_end
from flyte_ray.ledger.paths import ACTIVE, run_prefix, spec_key
from flyte_ray.ledger.places import PROCESS, free_places
from flyte_ray.ledger.reception import Reception
from flyte_ray.ledger.requests import Ended
from flyte_ray.ledger.snapshot import write_snapshot
from flyte_ray.ledger.standstill import Standstill
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, sweep
from flyte_ray.storage.patient import Patience, within

FINISH_S: Final = 60.0
"""How long a run that has ended waits for a store that does not take its end."""
RELEASE_S: Final = 5.0
"""How long a claim that is given up waits for a store that hangs."""
_log = logging.getLogger("flyte_ray.ledger")

Waiter = Callable[[Ended | Exception], None]
Told = Callable[[Exception | None], None]
"""Hears that something is stored, or why it never will be."""


@dataclass
class HeldRun:
    """A run that this ledger holds."""

    book: RunBook
    lease: Lease
    reception: Reception
    watch: Standstill
    notices: Sequence[Mapping[str, Any]] = ()
    """Whom to tell how it ended, as recorded."""
    entry: Mapping[str, Any] = field(default_factory=dict)
    """What is listed of its start."""
    waiters: list[Waiter] = field(default_factory=list)
    """Called when the run has ended."""
    marks: list[tuple[int, Told]] = field(default_factory=list)
    """Called when so many events are stored."""

    def reached(self) -> list[Told]:
        """Take who waited for what is stored now; call under the ledger's lock."""
        stored = self.book.recorder.stored
        reached = [told for mark, told in self.marks if mark <= stored]
        self.marks = [(mark, told) for mark, told in self.marks if mark > stored] if reached else self.marks
        return reached

    def keep(self) -> None:
        """Renew the claim, or find out that another ledger continues the run."""
        self.lease.renew(self.book.recorder.check)

    def pack(self) -> None:
        """Have a long log lie in few objects."""
        while self.book.recorder.pack():
            pass

    def let_go(self) -> None:
        """Store what is left, whatever the run's phase, and give it up."""
        self.book.recorder.close()
        self._answer_marks(self.book.recorder.failure)
        try:
            within(RELEASE_S, self.lease.release, "it was not given up")
        except StoreError as error:
            _log.warning("run %s stays claimed, until others see that nobody holds it: %s", self.book.state.id, error)

    def finish(self, store: Store, how: Ended | Exception) -> None:
        """Tell those who wait how the run has ended, and close its record."""
        self._answer_marks(how if isinstance(how, Exception) else None)
        for waiter in self.waiters:
            waiter(how)
        book = self.book
        patience = Patience(f"run {book.state.id}")
        patience.limit(FINISH_S)
        try:
            book.recorder.close()
            # Before the snapshot: what has ended is not to be taken for cut off.
            patience.ask(self.lease.release)
            if not book.recorder.fenced and patience.ask(lambda: self._is_there(store)):
                patience.ask(lambda: write_snapshot(store, book.state, book.recorder.position))
                patience.ask(lambda: list_end(store, self.entry, book.state))
                patience.ask(lambda: sweep(store, (run_prefix(book.state.id), ACTIVE)))
        except Exception:
            # The run's record is whole without its snapshot; readers fold the segments.
            _log.exception("run %s has ended, but its snapshot could not be written", book.state.id)

    def _is_there(self, store: Store) -> bool:
        """Whether it was not deleted since its end was told: its snapshot would be taken for that of the next one."""
        try:
            start = json.loads(store.get(spec_key(self.book.state.id)))
        except ObjectMissing:
            return False
        return bool(start.get("nonce") == self.entry.get("nonce"))

    def _answer_marks(self, error: Exception | None) -> None:
        for _, told in self.marks:
            told(error)
        self.marks = []


class Holdings:
    """The runs that one ledger holds, and those that a thread is about to."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.lock = threading.RLock()
        """Guards all that is known of all runs."""
        self.yielded: dict[RunId, Exception] = {}
        """Who continues the runs that were held here until another ledger took them, by run."""
        self._held: dict[RunId, HeldRun] = {}
        self._opening: set[RunId] = set()
        self._opened = threading.Condition(self.lock)

    def all(self) -> list[HeldRun]:
        """Everything that is held."""
        with self.lock:
            return list(self._held.values())

    def get(self, run: RunId) -> HeldRun | None:
        """A run; None if it is not held."""
        return self._held.get(run)

    def book(self, run: RunId) -> RunBook | None:
        """The book of a run; None if it is not held."""
        held = self._held.get(run)
        return held.book if held else None

    def add(self, held: HeldRun) -> None:
        """Hold a run."""
        with self.lock:
            self._held[held.book.state.id] = held
            self.yielded.pop(held.book.state.id, None)

    def remove(self, run: RunId) -> HeldRun | None:
        """Hold a run no more; returns what was held."""
        with self._opened:
            self._opened.notify_all()
            return self._held.pop(run, None)

    def places(self, slot: Slot) -> int:
        """How many more actions may begin in a slot that runs several at a time; runs may share its process."""
        process = slot.about.get(PROCESS)
        beside = (
            (other, held.book.dispatch.has_for(other))
            for held in self._held.values()
            for other in held.book.slots.values()
            if other is not slot and other.about.get(PROCESS) == process
        )
        return free_places(slot, beside if process else ())

    def settled(self, run: RunId) -> RunBook | None:
        """Wait until no thread is about to hold a run, or to let go of it; return its book if it is held then."""
        with self._opened:
            self._opened.wait_for(lambda: run not in self._opening and not self._is_ending(run))
            return self.book(run)

    def _is_ending(self, run: RunId) -> bool:
        book = self.book(run)
        return book is not None and book.end_mark is not None

    @contextmanager
    def opening(self, run: RunId) -> Iterator[RunBook | None]:
        """Keep other threads from opening a run meanwhile, which would fence each other; yields its book if held."""
        with self._opened:
            book = self.settled(run)
            if book is None:
                self._opening.add(run)
        try:
            yield book
        finally:
            if book is None:
                with self._opened:
                    self._opening.discard(run)
                    self._opened.notify_all()


class Keeper:
    """Looks after runs every `KEEP_S`: each on a thread of its own while there is something to do for it."""

    def __init__(
        self,
        held: Callable[[], Iterable[HeldRun]],
        what: str,
        is_due: Callable[[HeldRun], bool],
        keep: Callable[[HeldRun], None],
    ) -> None:
        """Do `keep` with those that `held` returns and that are due; `what` names that, for people."""
        self._held, self._what, self._is_due, self._keep_run = held, what, is_due, keep
        self._busy: set[int] = set()
        """By the identity of what is held: a run may be held again while a put of its last holder hangs."""
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if it has not; call under the ledger's lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name=f"flyte-ray-{self._what}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread when what it does is done."""
        self._closed.set()

    def _keep(self) -> None:
        while not self._closed.wait(KEEP_S):
            self._look()

    def _look(self) -> None:
        # By itself, so that what this thread waits with is no run: one that has ended would stay in memory.
        for held in self._held():
            if id(held) not in self._busy and self._is_due(held):
                self._busy.add(id(held))
                name = f"flyte-ray-{self._what}-{held.book.state.id}"
                threading.Thread(target=self._keep_one, args=(held,), name=name, daemon=True).start()

    def _keep_one(self, held: HeldRun) -> None:
        try:
            self._keep_run(held)
        except StoreError as error:
            _log.debug("run %s: %s: %s", held.book.state.id, self._what, error)
        except Exception:
            _log.exception("run %s: %s failed; that is tried again", held.book.state.id, self._what)
        finally:
            self._busy.discard(id(held))
