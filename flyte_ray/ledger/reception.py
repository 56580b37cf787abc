"""Hear the slots of one run: the order of messages, attaching after a restart, and what is answered.

Invariants: a slot's newest message alone waits for its answer, an overtaken one is answered at once; a slot of an
earlier ledger is heard only when it hands in what it holds; a slot nobody asked for is sent away.
Called with the service's lock held; answers are collected and delivered outside of it.
"""

from __future__ import annotations

from collections.abc import Callable

from flyte_ray.errors import RunFencedError
from flyte_ray.ledger.attaching import attempts_of, attend, catch_up, hand_in, hold, reconcile, stop_expecting
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Answer, Slot
from flyte_ray.ledger.intake import Intake
from flyte_ray.ledger.messages import Bye, Message, Reply

Answers = list[tuple[Answer, Reply]]
"""Replies that wait to be delivered."""


def farewell(epoch: int, message: Message) -> Reply:
    """Send a slot away whose run is not held here, or that nobody asked for."""
    upto = message.first + len(message.items)
    return Reply(epoch, message.received, [Bye("its run has ended")], upto, upto, 0, {}, False)


class Reception:
    """Hears and answers the slots of one run."""

    def __init__(self, epoch: int, book: RunBook, answers: Answers, may_tell: Callable[[str], bool]) -> None:
        """Hear on behalf of a book.

        Args:
            epoch: The ledger's incarnation.
            book: What is known of the run.
            answers: Takes the replies.
            may_tell: Whether slots of a shape may start children by themselves.

        """
        self._epoch, self._book, self._answers, self._may_tell = epoch, book, answers, may_tell
        self._intake = Intake(book)

    def hear(self, message: Message, answer: Answer) -> None:
        """Take a slot's message; `answer` gets its reply now or when there is something to say."""
        book = self._book
        if not book.knows(message.slot):
            self._answers.append((answer, farewell(self._epoch, message)))
            return
        slot = book.slots.get(message.slot)
        if slot is None:
            slot = book.slots[message.slot] = Slot(message.slot, message.run, message.shape, book.now_us())
            pool = book.shapes.pool_of(message.shape)
            slot.concurrency = pool.concurrency if pool else 1
            book.starting.pop(message.slot, None)
        older = slot.is_overtaken(message)
        if slot.parked and not older:
            self.reply(slot)
        is_new = message.epoch == 0 and slot.id not in book.expected
        attaches = not (slot.attached or older) and message.epoch == self._epoch and message.held is not None
        if message.epoch not in (0, self._epoch) or not (slot.attached or is_new or attaches):
            # A slot of the ledger before this one: it shall hand in all it has.
            slot.gap = True
            self._answers.append((answer, slot.reply(self._epoch, 0, False, {})))
            return
        try:
            self._take(slot, message, attaches=attaches)
        except RunFencedError:
            self._answers.append((answer, farewell(self._epoch, message)))
            return
        if older or slot.gap:
            self._answers.append((answer, self._build(slot)))
        else:
            slot.parked = answer

    def review(self) -> None:
        """Judge the replays of the run, and act on calls that were held for them; call at every tick."""
        if self._book.replays:
            for slot, call in self._book.replays.review(self._book.slots):
                self._intake.take(slot, call)

    def reply(self, slot: Slot) -> None:
        """Answer a slot's open message, if there is one."""
        if slot.parked:
            self._answers.append((slot.parked, self._build(slot)))
            slot.parked = None

    def _take(self, slot: Slot, message: Message, *, attaches: bool) -> None:
        book, held = self._book, message.held if attaches else None
        slot.attached = True
        if held:
            slot.received = message.first  # what is below is on record
            book.expected.setdefault(slot.id, slot.shape)  # one that was given up is expected until it has told all
        items = slot.hear(message)
        book.limits.begun(slot.active)
        book.limits.stalls(slot.running, bool(slot.waits_for_store))
        book.learn(message.tasks)
        later = hand_in(book, slot, held) if held else []
        attempts = attempts_of(held, items) if held else ()
        for index, item in enumerate(items):
            if held:
                catch_up(book, slot, item, attempts[index])
            self._intake.take(slot, item)
        self._intake.settle(slot)
        if held:
            for work in later:
                hold(book, slot, held, work)
            attend(book, slot, held)
            slot.resend()
        if slot.id in book.expected:
            reconcile(book, slot)
            stop_expecting(book, slot.id)
        slot.about.update(message.about)

    def _build(self, slot: Slot) -> Reply:
        book = self._book
        slot.mark(book.recorder.recorded)
        return slot.reply(self._epoch, book.recorder.stored, self._may_tell(slot.shape), book.refs)
