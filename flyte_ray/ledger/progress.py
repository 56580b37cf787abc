"""Move the runs of a ledger on: hand out what can be handed out, end what has ended, answer whom it concerns.

Invariants: store and network are never asked under the lock; what leaves a run (its end) waits until its segment is
stored, and its slots have had their last words. Knows nothing of who asks (`ledger/service.py`) or of Ray.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from flyte_ray.ledger.admission import Admission
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.cache import CacheDesk, Kept
from flyte_ray.ledger.conditions import ConditionDesk, Decision
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.faults import ACKNOWLEDGE, Faults
from flyte_ray.ledger.fleet import Fleet
from flyte_ray.ledger.grace import Grace
from flyte_ray.ledger.holding import FINISH_S, HeldRun, Holdings
from flyte_ray.ledger.messages import Bye
from flyte_ray.ledger.notifying import Notifier
from flyte_ray.ledger.queues import MAKE, QueueDesk, missing
from flyte_ray.ledger.reception import Answers
from flyte_ray.ledger.recovery import silent
from flyte_ray.ledger.requests import Ended, Launcher
from flyte_ray.ledger.verdicts import failure
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.queue import QueueLimits
from flyte_ray.storage import Store


class Progress:
    """The runs that a ledger holds, on their way."""

    def __init__(
        self, store: Store, runs: Holdings, launcher: Launcher, faults: Faults, now_us: Callable[[], int]
    ) -> None:
        """Move the runs of a store on.

        Args:
            store: The root.
            runs: Those that are held.
            launcher: Starts slots.
            faults: What happens at named points, for tests.
            now_us: The ledger's clock.

        """
        self._store, self._runs, self._faults, self._now_us = store, runs, faults, now_us
        self._lock = runs.lock
        self._finishing: list[threading.Thread] = []
        self.answers: Answers = []
        """Replies that wait to be delivered by the next `pump`."""
        self.admission = Admission(self._books, now_us)
        self.fleet = Fleet(launcher, faults, self.admission, now_us)
        self.grace = Grace(now_us)
        self._desk = CacheDesk(store, now_us, self._cached)
        self._notifier = Notifier(store, now_us)
        self._conditions = ConditionDesk(store, now_us, self._decided)
        self._queues = QueueDesk(store, now_us, self._found)

    def pump(self, run: RunId) -> None:
        """Hand out what can be handed out, end what has ended, and answer whom there is something to tell."""
        with self._lock:
            held = self._runs.get(run)
            if held:
                book = held.book
                stored = book.recorder.stored  # read once: what ends the run must have been attended to
                self._desk.attend(run, book.cache, stored)
                if book.recorder.fenced:
                    self._let_go(held, book.recorder.fenced)
                elif book.is_over(stored):
                    root, actions = book.state.root, book.state.actions.values()
                    diverged = any(action.diverged for action in actions)
                    self._let_go(held, Ended(root.phase.value, root.result or "null", diverged))
                else:
                    self._serve(held)
            reached = held.reached() if held and held.marks else ()
            answers = list(self.answers)
            self.answers.clear()
        for told in reached:
            told(None)
        for answer, reply in answers:
            self._faults.at(f"before {ACKNOWLEDGE}")
            answer(reply)
            self._faults.at(f"after {ACKNOWLEDGE}")

    def _serve(self, held: HeldRun) -> None:
        book = held.book
        for slot in book.slots.values():
            if slot.parked and (slot.want or slot.ahead):
                count = book.hand_out(slot, self.admission.for_slot(book, slot))
                self.admission.began(book, slot.shape, count)
            if slot.parked and slot.has_news:
                held.reception.reply(slot)
        self.fleet.fill(book)

    def _let_go(self, held: HeldRun, how: Ended | Exception) -> None:
        book = held.book
        self._runs.remove(book.state.id)
        if isinstance(how, Exception):
            self._runs.yielded[book.state.id] = how  # for those who begin to wait just now
        self.grace.leave(book.slots.values())
        self.dismiss(held, "its run has ended")
        self.fleet.leave(book)
        # A daemon: one that hangs with its store must not hold the process at its end.
        thread = threading.Thread(target=self._finish, args=(held, how), name="flyte-ray-finish", daemon=True)
        self._finishing = [each for each in self._finishing if each.is_alive()] + [thread]
        thread.start()

    def _cached(self, run: RunId, answers: list[tuple[str, Kept | None]]) -> set[str]:
        with self._lock:
            book = self._runs.book(run)
            gone = {name for name, kept in answers if book is None or not book.answer(name, kept)}
        self.pump(run)
        return gone

    def _decided(self, run: RunId, decisions: list[Decision]) -> None:
        with self._lock:
            book = self._runs.book(run)
            if book is None or book.recorder.fenced:
                return
            for decision in decisions:
                book.settle(decision)
        self.pump(run)

    def _books(self) -> list[RunBook]:
        return [held.book for held in self._runs.all()]

    def _look_for_queues(self, books: Sequence[RunBook]) -> None:
        used = {name for book in books for name in book.shapes.queues}
        self.admission.forget_unused(used)
        wanted = {book.shapes.queue_of(shape) for book in books if book.shapes.queues for shape in book.dispatch.shapes}
        unknown = frozenset(name for name in wanted if name is not None and not self.admission.knows(name))
        self._queues.attend(in_use=bool(used), unknown=unknown)

    def _found(self, queues: dict[str, QueueLimits], absent: frozenset[str]) -> None:
        """Take in which queues there are, and fail what waits for one that there is not."""
        with self._lock:
            self.admission.learn(queues)
            for book in self._books():
                for shape in book.dispatch.shapes:
                    name = book.shapes.queue_of(shape)
                    if name is not None and name in absent and not self.admission.knows(name):
                        said = f"{self._store.uri} should hold {missing(name, queues)} {MAKE.format(name)}"
                        book.fail_queued(shape, failure("QueueNotFoundError", "user", said))
            runs = self._runs.all()
        for held in runs:
            self.pump(held.book.state.id)

    def _finish(self, held: HeldRun, how: Ended | Exception) -> None:
        state = held.book.state
        self._desk.finish(state.id)
        self._conditions.finish(state.id)
        if isinstance(how, Ended):
            self._notifier.tell(state.id, held.notices, how, state.resumes)
        held.finish(self._store, how)

    def tick(self) -> None:
        """Do what time brings: backoffs that are over, idle slots; call about every 50 ms."""
        with self._lock:
            runs = self._runs.all()
            books = self._books()
            self._look_for_queues(books)
            for book in books:
                book.dispatch.due()
                book.enforce()
                self._conditions.attend(book.state.id, book.conditions, book.recorder.stored)
                if book.expected:
                    self.fleet.kill(silent(book))  # their deaths are reported, and their work queued again
            for held in runs:
                held.reception.review()
            self.fleet.kill(self.grace.overdue(books))
            self.fleet.share(books, self._now_us())
            self.fleet.dismiss_idle(books, self._reply)
            for held in runs:
                self.fleet.unstick(held.book, held.watch, books)
        for held in runs:
            self.pump(held.book.state.id)

    def _reply(self, book: RunBook, slot: Slot) -> None:
        held = self._runs.get(book.state.id)
        if held:
            held.reception.reply(slot)

    def dismiss(self, held: HeldRun, reason: str) -> None:
        """Tell all slots of a run that they shall end."""
        for slot in held.book.slots.values():
            slot.order(Bye(reason))
            held.reception.reply(slot)

    def close(self, runs: list[HeldRun]) -> None:
        """Let go of runs that are held no more, and return when all that has ended is finished."""
        with self._lock:
            finishing = list(self._finishing)
        self._notifier.close()
        for held in runs:
            held.let_go()
        until = time.monotonic() + FINISH_S
        for thread in finishing:
            thread.join(max(0.0, until - time.monotonic()))
        self._desk.close()
        self._conditions.close()
