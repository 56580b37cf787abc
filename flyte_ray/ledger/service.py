"""Serve many runs of one root: exchanges with slots, starts, waits, aborts.

Invariants: one lock guards all books; store and network are never asked under it; what leaves a run (its end) waits
until its segment is stored. Knows nothing of Ray: who launches slots and who carries messages comes from outside.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from flyte_ray.errors import RunAlreadyExistsError, RunFencedError, RunNotFoundError
from flyte_ray.ledger.attaching import attend, hand_in, reconcile
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.cache import CacheDesk, Kept
from flyte_ray.ledger.conversation import Answer, Slot
from flyte_ray.ledger.grace import Grace
from flyte_ray.ledger.lease import Lease
from flyte_ray.ledger.log import FaultPoint, RunLog, no_fault
from flyte_ray.ledger.messages import Bye, Message, Reply, TaskRef
from flyte_ray.ledger.paths import data_place, index_key, spec_key
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.recorder import RunRecorder, now_us
from flyte_ray.ledger.requests import Ended, Launcher, Start
from flyte_ray.ledger.snapshot import write_snapshot
from flyte_ray.ledger.standstill import OVERFLOW, Standstill
from flyte_ray.ledger.summary import summarize
from flyte_ray.ledger.verdicts import failure
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

LINGER_S: Final = 2.0
"""How long a slot without work is kept while nobody else waits for its resources."""
_log = logging.getLogger("flyte_ray.ledger")


Waiter = Callable[[Ended | Exception], None]


class Ledger:
    """The ledger's core, shared by all modes."""

    def __init__(self, store: Store, launcher: Launcher, holder: str, fault: FaultPoint = no_fault) -> None:
        """Serve the runs of a store.

        Args:
            store: The root.
            launcher: Starts slots.
            holder: Who holds the runs, for people and for leases.
            fault: See `FaultPoint`.

        """
        self.epoch = time.time_ns()
        """Tells slots that the ledger has restarted."""
        self._store = store
        self._launcher = launcher
        self._holder = holder
        self._fault = fault
        self._lock = threading.RLock()
        self._books: dict[RunId, RunBook] = {}
        self._leases: dict[RunId, Lease] = {}
        self._waiters: dict[RunId, list[Waiter]] = {}
        self._answers: list[tuple[Answer, Reply]] = []
        self._watches: dict[RunId, Standstill] = {}
        self._grace = Grace(now_us)
        self._desk = CacheDesk(store, now_us, self._cached)

    # Runs

    def start(self, start: Start) -> None:
        """Put a run on record and queue its root action; returns when that is stored.

        Raises:
            RunAlreadyExistsError: The root holds another run of this name.

        """
        started = now_us()
        body = json.dumps(start.spec(started)).encode()
        if not self._store.put_if_absent(spec_key(start.run), body):
            if load_spec(self._store, start.run)["nonce"] != start.nonce:
                raise RunAlreadyExistsError(
                    f"A new run needs a name of its own, but {self._store.uri} holds a run {start.run!r} already."
                    f" Choose another name, or continue that one with 'flyte-ray resume {start.run}'."
                )
            with self._lock:
                if start.run in self._books:
                    return
        self._store.put(index_key(start.run, started), body)
        book = self._open(start.run, take_over=False)
        with self._lock:
            if not book.state.actions:
                book.start(start.task, start.inputs, start.context, start.cache)
        book.recorder.commit()
        self._pump(start.run)

    def resume(
        self,
        run: RunId,
        alive: Mapping[str, str],
        *,
        by_person: bool,
        take_over: bool = False,
        tasks: dict[str, TaskRef],
    ) -> None:
        """Continue a run that no ledger holds any more.

        Args:
            run: Its name.
            alive: Shapes of its slots that live, by id.
            by_person: Failures are tried again; False after a restart of the ledger, which replays them.
            take_over: Do not wait for the lease of another holder.
            tasks: Today's references of tasks, by name, which replace those on record; for slots of this cluster.

        Raises:
            RunNotFoundError: The root holds no such run.
            RunFencedError: Another ledger holds it.

        """
        load_spec(self._store, run)
        with self._lock:
            if run in self._books:
                return
        book = self._open(run, take_over=take_over)
        with self._lock:
            if not book.state.actions:
                raise RunNotFoundError(f"Run {run!r} was cut off before it began. Start it again under another name.")
            book.replace_tasks(tasks)
            book.recover(alive, resumed=by_person)
        book.recorder.commit()
        self._pump(run)

    def _open(self, run: RunId, *, take_over: bool) -> RunBook:
        lease = Lease(self._store, run, self._holder)
        lease.take(force=take_over)
        log = RunLog(self._store, run, uuid.uuid4().hex, self._fault)
        place = data_place(run, load_spec(self._store, run))
        recorder = RunRecorder(run, log, self._holder, lambda: self._pump(run))
        with self._lock:
            self._leases[run] = lease
            self._books[run] = RunBook(recorder, now_us, place)
            return self._books[run]

    def wait(self, run: RunId, waiter: Waiter) -> None:
        """Call back when the run has ended and that is stored; at once if this ledger does not hold it."""
        with self._lock:
            if run in self._books:
                self._waiters.setdefault(run, []).append(waiter)
                return
        waiter(RunNotFoundError(f"Run {run!r} is not active here."))

    def abort(self, run: RunId, action: str, reason: str) -> bool:
        """Abort an action and all below it; False if it is not active here."""
        with self._lock:
            book = self._books.get(run)
            known = book.state.actions.get(action) if book else None
            if book is None or known is None or known.phase.is_terminal:
                return False
            book.abort(action, reason)
        self._pump(run)
        return True

    def look(self, run: RunId) -> dict[str, Any] | None:
        """Summarize an active run for a live view; None if this ledger does not hold it."""
        with self._lock:
            book = self._books.get(run)
            return summarize(book) if book else None

    @property
    def runs(self) -> list[RunId]:
        """Runs that are held."""
        with self._lock:
            return list(self._books)

    def close(self) -> None:
        """Store what is left and let go of all runs."""
        with self._lock:
            books, self._books = list(self._books.items()), {}
        for run, book in books:
            book.recorder.close()
            self._leases.pop(run).release()
        self._desk.close()

    # Slots

    def exchange(self, message: Message, answer: Answer) -> None:
        """Take a slot's message; `answer` is called once, now or when there is something to say."""
        with self._lock:
            book = self._books.get(RunId(message.run))
            if book is None or not book.knows(message.slot):
                self._answers.append((answer, self._farewell(message)))
            else:
                self._hear(book, message, answer)
        self._pump(RunId(message.run))

    def _hear(self, book: RunBook, message: Message, answer: Answer) -> None:
        slot = book.slots.get(message.slot)
        if slot is None:
            slot = book.slots[message.slot] = Slot(message.slot, message.run, message.shape)
            book.starting.pop(message.slot, None)
        older = slot.is_overtaken(message)
        if slot.parked and not older:
            self._reply(book, slot)
        is_new = message.epoch == 0 and slot.id not in book.expected
        held = None if slot.attached or older or message.epoch != self.epoch else message.held
        if message.epoch not in (0, self.epoch) or not (slot.attached or is_new or held):
            # A slot of the ledger before this one: it shall hand in all it has.
            slot.gap = True
            self._answers.append((answer, slot.reply(self.epoch, 0, False, {})))
            return
        slot.attached = True
        if held:
            slot.received = message.first  # what is below is on record
        items = slot.hear(message)
        book.limits.begun(slot.active)
        try:
            book.learn(message.tasks)
            if held:
                hand_in(book, slot, held)
            for item in items:
                book.apply(slot, item)
            if held:
                attend(book, slot, held)
                slot.resend()
            if book.expected.pop(slot.id, None) is not None:
                reconcile(book, slot)
        except RunFencedError:
            self._answers.append((answer, self._farewell(message)))
            return
        slot.about.update(message.about)
        if older or slot.gap:
            self._answers.append((answer, self._build(book, slot)))
        else:
            slot.parked = answer

    def slot_ended(self, run: RunId, slot: str, reason: str) -> None:
        """Take note that a slot is gone; what it ran is queued again."""
        with self._lock:
            to_blame = not self._grace.has_ended(slot)
            reason = self._grace.took(slot, reason)
            book = self._books.get(run)
            if book:
                book.lose(book.slots.get(slot) or Slot(slot, run, ""), reason, to_blame=to_blame)
        self._pump(run)

    def _farewell(self, message: Message) -> Reply:
        upto = message.first + len(message.items)
        return Reply(self.epoch, message.received, [Bye("its run has ended")], upto, upto, 0, {}, False)

    def _build(self, book: RunBook, slot: Slot) -> Reply:
        slot.mark(book.recorder.recorded)
        others_wait = any(other is not book and slot.shape in other.dispatch.shapes for other in self._books.values())
        return slot.reply(self.epoch, book.recorder.stored, not others_wait, book.refs)

    def _reply(self, book: RunBook, slot: Slot) -> None:
        if slot.parked:
            self._answers.append((slot.parked, self._build(book, slot)))
            slot.parked = None

    # Moving on

    def _pump(self, run: RunId) -> None:
        """Hand out what can be handed out, end what has ended, and answer whom there is something to tell."""
        finished: list[tuple[Waiter, Ended | Exception]] = []
        done: RunBook | None = None
        with self._lock:
            book = self._books.get(run)
            if book:
                stored = book.recorder.stored  # read once: what ends the run must have been attended to
                self._desk.attend(run, book.cache, stored)
                if book.recorder.fenced:
                    finished = self._let_go(run, book, book.recorder.fenced)
                    done = book
                elif book.end_mark is not None and stored >= book.end_mark:
                    root = book.state.root
                    finished = self._let_go(run, book, Ended(root.phase.value, root.result or "null"))
                    done = book
                else:
                    self._serve(run, book)
            answers, self._answers = self._answers, []
        for answer, reply in answers:
            answer(reply)
        if done:
            threading.Thread(target=self._finish, args=(run, done, finished), name="flyte-ray-finish").start()

    def _serve(self, run: RunId, book: RunBook) -> None:
        for slot in book.slots.values():
            if slot.parked and slot.want:
                book.hand_out(slot)
            if slot.parked and slot.has_news:
                self._reply(book, slot)
        for shape in book.dispatch.shapes:
            options = book.options_of(shape)
            for _ in range(book.slots_lacking(shape, self._launcher.capacity(options))):
                self._launch(run, book, shape, options)

    def _let_go(self, run: RunId, book: RunBook, how: Ended | Exception) -> list[tuple[Waiter, Ended | Exception]]:
        del self._books[run]
        self._watches.pop(run, None)
        self._grace.leave(book.slots.values())
        for slot in book.slots.values():
            slot.order(Bye("its run has ended"))
            self._reply(book, slot)
        for name in book.starting:
            self._launcher.kill(name)
        return [(waiter, how) for waiter in self._waiters.pop(run, [])]

    def _cached(self, run: RunId, answers: list[tuple[str, Kept | None]]) -> set[str]:
        with self._lock:
            book = self._books.get(run)
            gone = {name for name, kept in answers if book is None or not book.answer(name, kept)}
        self._pump(run)
        return gone

    def _finish(self, run: RunId, book: RunBook, waiters: list[tuple[Waiter, Ended | Exception]]) -> None:
        self._desk.finish(run)
        for waiter, how in waiters:
            waiter(how)
        try:
            book.recorder.close()
            if not book.recorder.fenced:
                write_snapshot(self._store, book.state, book.recorder.position)
                self._leases.pop(run).release()
        except Exception:
            # The run's record is whole without its snapshot; readers fold the segments.
            _log.exception("run %s has ended, but its snapshot could not be written", run)

    def tick(self) -> None:
        """Do what time brings: backoffs that are over, idle slots, leases; call about every 50 ms."""
        with self._lock:
            runs = list(self._books)
            for book in self._books.values():
                book.dispatch.due()
                book.enforce()
                if book.expected:
                    for name in book.silent():
                        self._launcher.kill(name)  # its death is reported, and its work queued again
            for name in self._grace.overdue(self._books.values()):
                self._launcher.kill(name)
            self._dismiss_idle()
            for run, book in self._books.items():
                self._unstick(run, book)
        for run in runs:
            self._pump(run)
            if lease := self._leases.get(run):
                lease.renew()

    def _unstick(self, run: RunId, book: RunBook) -> None:
        watch = self._watches.setdefault(run, Standstill(book, now_us))
        if any(other is not book and other.slots for other in self._books.values()):
            return  # what is missing may be theirs
        for shape, options in watch.look(self._launcher.may_grow):
            if options is None:
                book.fail_queued(shape, failure("ResourceDeadlockError", "user", watch.message()))
            elif self._launcher.capacity(book.options_of(shape)):  # what fits no node is refused, not squeezed in
                self._launch(run, book, shape, options, OVERFLOW)

    def _launch(self, run: RunId, book: RunBook, shape: str, options: str, prefix: str = "") -> None:
        name = f"{prefix}{run}-{uuid.uuid4().hex[:8]}"
        book.starting[name] = shape
        self._launcher.launch(name, run, shape, options)

    def _dismiss_idle(self) -> None:
        now = time.monotonic()
        wanted = any(book.starting for book in self._books.values())
        for book in self._books.values():
            for name in [name for name, shape in book.starting.items() if not len(book.dispatch.queue(shape))]:
                del book.starting[name]
                self._launcher.kill(name)
        for book in self._books.values():
            for slot in list(book.slots.values()):
                busy = slot.running or slot.has_news or slot.owes(book.recorder.stored)
                if busy or not slot.parked or len(book.dispatch.queue(slot.shape)):
                    slot.idle_since = None
                    continue
                slot.idle_since = slot.idle_since or now
                if now - slot.idle_since > (0.0 if wanted else LINGER_S):
                    slot.order(Bye("it has nothing to do"))
                    self._reply(book, slot)
                    del book.slots[slot.id]

    def waiting_shapes(self) -> list[tuple[RunId, str, str]]:
        """Return run, shape and options of everything that waits for a slot."""
        with self._lock:
            return [
                (run, shape, book.options_of(shape))
                for run, book in self._books.items()
                for shape in book.dispatch.shapes
            ]

    def fail_queued(self, run: RunId, shape: str, message: str, code: str = "ResourcesUnavailableError") -> None:
        """Fail every queued action of a shape, because no slot of it can ever be had."""
        with self._lock:
            if run in self._books:
                self._books[run].fail_queued(shape, failure(code, "user", message))
        self._pump(run)
