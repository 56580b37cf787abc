"""Serve many runs of one root: exchanges with slots, starts, waits, aborts.

Invariants: one lock guards all books; store and network are never asked under it. What follows from what is asked here
is done by `ledger/progress.py`. Knows nothing of Ray: who launches slots and who carries messages comes from outside.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flyte_ray.errors import RunAlreadyExistsError, RunFencedError, RunNotFoundError
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Answer
from flyte_ray.ledger.faults import NO_FAULTS, Faults
from flyte_ray.ledger.holding import HeldRun, Holdings, Keeper, Told, Waiter
from flyte_ray.ledger.lease import Claim
from flyte_ray.ledger.listing import entry_of
from flyte_ray.ledger.losses import LAUNCHER, Loss
from flyte_ray.ledger.messages import Message
from flyte_ray.ledger.opening import Opener
from flyte_ray.ledger.paths import data_place, spec_key
from flyte_ray.ledger.progress import Progress
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.reception import Reception, farewell
from flyte_ray.ledger.recorder import now_us
from flyte_ray.ledger.recovery import lose
from flyte_ray.ledger.requests import Launcher, Start, Terms
from flyte_ray.ledger.revision import Revision
from flyte_ray.ledger.standstill import Standstill
from flyte_ray.ledger.summary import summarize
from flyte_ray.ledger.verdicts import aborted, failure
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store


class Ledger:
    """The ledger's core, shared by all modes."""

    def __init__(self, store: Store, launcher: Launcher, holder: str, faults: Faults = NO_FAULTS) -> None:
        """Serve the runs of a store.

        Args:
            store: The root.
            launcher: Starts slots.
            holder: Who holds the runs, for people and for leases.
            faults: What happens at named points, for tests; `store` has its own.

        """
        self.epoch = time.time_ns()
        """Tells slots that the ledger has restarted."""
        self._store = store
        self._runs = Holdings()
        self._lock = self._runs.lock
        self._opener = Opener(store, holder, self._lock)
        self._keepers = (
            Keeper(self._runs.all, "lease", lambda held: held.lease.is_due, HeldRun.keep),
            Keeper(self._runs.all, "pack", lambda held: held.book.recorder.has_to_pack, HeldRun.pack),
        )
        self._progress = Progress(store, self._runs, launcher, faults, now_us)

    # Runs

    def start(self, start: Start) -> None:
        """Put a run on record and queue its root action; returns when that is stored.

        Raises:
            RunAlreadyExistsError: The root holds another run of this name.

        """
        spec = start.spec(now_us())
        if not self._store.put_if_absent(spec_key(start.run), json.dumps(spec).encode()):
            spec = load_spec(self._store, start.run)
            if spec["nonce"] != start.nonce:
                raise RunAlreadyExistsError(
                    f"A new run needs a name of its own, but {self._store.uri} holds a run {start.run!r} already."
                    f" Choose another name, or continue that one with 'flyte-ray resume {start.run}'."
                )
        self._begin(start.run, partial(self._opener.go_on, spec=spec, start=start))

    def resume(
        self,
        run: RunId,
        alive: Mapping[str, str],
        *,
        by_person: bool,
        take_over: bool = False,
        seen: Claim | None = None,
        revision: Revision | None = None,
    ) -> None:
        """Continue a run that no ledger holds any more; returns when that is stored, at once where it is held here.

        Args:
            run: Its name.
            alive: Shapes of its slots that live, by id.
            by_person: Failures are tried again; False after a restart of the ledger, which replays them.
            take_over: Do not wait for the lease of another holder.
            seen: Another holder's claim that was seen to stand still for long enough.
            revision: The code to continue it with, if that has changed.

        Raises:
            RunNotFoundError: The root holds no such run.
            RunFencedError: Another ledger holds it, or it is under way here with the code it began with.

        """
        spec = load_spec(self._store, run)
        move = partial(self._opener.go_on, spec=spec, alive=alive, by_person=by_person, revision=revision)
        book = self._runs.settled(run) if revision else None
        if book and revision and (revision.code is None or revision.code != book.state.code):
            raise RunFencedError(
                f"Run {run!r} should stand still to go on with other code, but is under way. Abort it first:"
                f" 'flyte-ray abort {run}'; then continue it."
            )
        self._begin(run, move, take_over=take_over, seen=seen)

    def _begin(
        self, run: RunId, move: Callable[[RunBook], None], *, take_over: bool = False, seen: Claim | None = None
    ) -> None:
        """Hold a run and get it moving, unless it is held; returns when all that is recorded then is stored."""
        with self._runs.opening(run) as book:
            if book is None:
                try:
                    book = self._open(run, take_over=take_over, seen=seen)
                    move(book)
                except BaseException:
                    held = self._runs.remove(run)
                    if held:
                        held.let_go()
                    raise
        book.recorder.commit()
        self._progress.pump(run)

    def _open(self, run: RunId, *, take_over: bool, seen: Claim | None) -> RunBook:
        lease, recorder, spec = self._opener.open(run, lambda: self._progress.pump(run), take_over=take_over, seen=seen)
        with self._lock:
            book = RunBook(recorder, now_us, data_place(run, spec), Terms.read(spec), self._runs.places)
            reception = Reception(self.epoch, book, self._progress.answers, lambda shape: self._may_tell(shape, book))
            notices = spec.get("notifications") or ()
            self._runs.add(HeldRun(book, lease, reception, Standstill(book, now_us), notices, entry_of(spec)))
            for keeper in self._keepers:
                keeper.start()
        return book

    def _may_tell(self, shape: str, book: RunBook) -> bool:
        """Whether a slot may begin calls by itself: none is answered from an earlier run, or has to wait."""
        rated = self._progress.admission.is_rated(book, shape)
        return not (rated or book.outcomes or book.recorder.is_full or self._is_wanted(shape, book))

    def _is_wanted(self, shape: str, book: RunBook) -> bool:
        """Whether another run waits for slots of a shape."""
        return any(held.book is not book and shape in held.book.dispatch.shapes for held in self._runs.all())

    def wait(self, run: RunId, waiter: Waiter) -> None:
        """Call back when the run has ended and that is stored; at once if this ledger does not hold it.

        Of a run that another ledger has taken it is told by whom.
        """
        with self._lock:
            held = self._runs.get(run)
            if held:
                held.waiters.append(waiter)
                return
            yielded = self._runs.yielded.get(run)
        waiter(yielded or RunNotFoundError(f"Run {run!r} is not active here."))

    def abort(self, run: RunId, action: str, reason: str, by: str) -> bool:
        """Abort an action and all below it, on behalf of `by`, a `user@host`; False if it is not active here.

        That is stored later, see `when_stored`.
        """
        with self._lock:
            book = self.book(run)
            known = book.state.actions.get(action) if book else None
            if book is None or known is None or known.phase.is_terminal:
                return False
            book.abort(action, aborted(reason, by))
        self._progress.pump(run)
        return True

    def when_stored(self, run: RunId, told: Told) -> None:
        """Call back when all that is on record of a run by now is stored; at once where that is not held here."""
        with self._lock:
            held = self._runs.get(run)
            if held:
                held.marks.append((held.book.recorder.recorded, told))
                held.book.recorder.hurry()
        if held:
            self._progress.pump(run)
        else:
            told(None)

    def nudge(self, run: RunId) -> None:
        """Do at once for an active run what is done now and then: look for signals, and store what is recorded."""
        with self._lock:
            book = self.book(run)
            if book:
                book.conditions.nudge()
                book.recorder.hurry()

    def look(self, run: RunId) -> dict[str, Any] | None:
        """Summarize an active run for a live view; None if this ledger does not hold it."""
        with self._lock:
            book = self.book(run)
            return summarize(book) if book else None

    @property
    def runs(self) -> list[RunId]:
        """Runs that are held."""
        return [held.book.state.id for held in self._runs.all()]

    @property
    def starts_slots(self) -> bool:
        """Whether slots were asked for that have not attached."""
        with self._lock:
            return any(held.book.starting for held in self._runs.all())

    def book(self, run: RunId) -> RunBook | None:
        """The book of a run; None if it is not held."""
        return self._runs.book(run)

    def close(self) -> None:
        """Store what is left and let go of all runs."""
        with self._lock:
            runs = [self._runs.remove(run) for run in self.runs]
        self._progress.close([held for held in runs if held])
        for keeper in self._keepers:
            keeper.close()

    # Slots

    def exchange(self, message: Message, answer: Answer) -> None:
        """Take a slot's message; `answer` is called once, now or when there is something to say."""
        with self._lock:
            held = self._runs.get(RunId(message.run))
            if held is None:
                self._progress.answers.append((answer, farewell(self.epoch, message)))
            else:
                held.reception.hear(message, answer)
        self._progress.pump(RunId(message.run))

    def slot_waits(self, run: RunId, slot: str, reason: str) -> None:
        """Take note why a slot that has not attached yet waits for its store; empty if it does not any more."""
        with self._lock:
            book = self.book(run)
            if book:
                said = {**book.waiting_for_store, slot: reason}
                book.waiting_for_store = {name: why for name, why in said.items() if why and name in book.starting}

    def slot_ended(self, run: RunId, slot: str, loss: Loss) -> None:
        """Take note that a slot is gone; what it ran is queued again."""
        with self._lock:
            loss = self._progress.grace.took(slot, loss)
            book = self.book(run)
            if book:
                self._lose(book, slot, loss)
        self._progress.pump(run)

    def launcher_ended(self) -> None:
        """Take note that the launcher is gone, and with it all slots: Ray ends them, some seconds later.

        What they ran is queued again at once; what they say from now on comes from slots that nobody knows.
        """
        with self._lock:
            held = self._runs.all()
            for each in held:
                book = each.book
                self._progress.dismiss(each, "its launcher is gone")
                for name in book.known_slots:
                    loss = Loss("its launcher is gone", LAUNCHER)
                    self._lose(book, name, self._progress.grace.took(name, loss))
                    self._progress.fleet.kill([name])
        for each in held:
            self._progress.pump(each.book.state.id)

    def _lose(self, book: RunBook, slot: str, loss: Loss) -> None:
        with contextlib.suppress(RunFencedError):  # whoever continues the run sees to its slots
            lose(book, slot, loss)

    def tick(self) -> None:
        """Do what time brings; call about every 50 ms."""
        self._progress.tick()

    def waiting_shapes(self) -> list[tuple[RunId, str, str]]:
        """Return run, shape and options of everything that waits for a slot."""
        with self._lock:
            return [
                (run, shape, held.book.shapes.options_of(shape))
                for run, held in ((held.book.state.id, held) for held in self._runs.all())
                for shape in held.book.dispatch.shapes
            ]

    def fail_queued(self, run: RunId, shape: str, message: str, code: str = "ResourcesUnavailableError") -> None:
        """Fail every queued action of a shape, because no slot of it can ever be had."""
        with self._lock:
            book = self.book(run)
            if book:
                book.fail_queued(shape, failure(code, "user", message))
        self._progress.pump(run)
