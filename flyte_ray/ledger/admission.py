"""Say how many actions may begin: by the limits of their queue, over all runs, and by that of their run.

Invariants: an action that waits for others takes no place, so that no parent keeps one from its children; when it goes
on, it does so beside those that run. A queue is a part of its slots' shape: its actions share a slot with no others.
Called with the service's lock held. Pure: clock and runs come from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import Final

from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.spec.queue import QueueLimits

MANY: Final = 1 << 30
BURST_S: Final = 0.05
"""So much of a rate's work begins at once, in seconds: the ledger's clock ticks so often."""


class Admission:
    """The limits that hold for the runs of a ledger."""

    def __init__(self, books: Callable[[], Iterable[RunBook]], now_us: Callable[[], int]) -> None:
        """Know no queue yet.

        Args:
            books: The runs that the ledger holds.
            now_us: Its clock.

        """
        self._books, self._now_us = books, now_us
        self._known: dict[str, QueueLimits] = {}
        self._gone: set[str] = set()
        """Those of them that were deleted."""
        self._due: dict[str, tuple[float, int]] = {}
        """What may begin at once of a queue with a rate, and when that was so, in microseconds."""

    def learn(self, found: Mapping[str, QueueLimits]) -> None:
        """Take in which queues there are; one that is there no more keeps its limits for those who use it."""
        self._gone = self._known.keys() - found.keys()
        self._known.update(found)

    def forget_unused(self, used: Set[str]) -> None:
        """Forget queues that are there no more and that no run uses."""
        for queue in self._gone - used:
            self._gone.discard(queue)
            del self._known[queue]

    def knows(self, queue: str) -> bool:
        """Whether a queue was found."""
        return queue in self._known

    def priority(self, book: RunBook, shape: str) -> int:
        """Who has more gets hardware first that is scarce."""
        limits = self._known.get(book.shapes.queue_of(shape) or "")
        return limits.priority if limits else 0

    def is_rated(self, book: RunBook, shape: str) -> bool:
        """Whether it matters when each action of a shape begins."""
        limits = self._known.get(book.shapes.queue_of(shape) or "")
        return limits is not None and limits.rate is not None

    def for_slot(self, book: RunBook, slot: Slot) -> int:
        """How many actions a slot may be given now."""
        queue = book.shapes.queue_of(slot.shape)
        if queue is None and not book.terms.most:
            return MANY
        places = min((free for _, free in self._places(book, slot.shape, slot)), default=MANY)
        if slot.concurrency > 1:
            places -= _runs(book, slot)
        elif places > 0:
            places = MANY  # it runs them one after the other
        return max(0, min(places, self._due_now(queue)))

    def has_place(self, book: RunBook, slot: Slot) -> bool:
        """Whether a slot that does nothing is not kept from its work by those that run."""
        return all(free > 0 for _, free in self._places(book, slot.shape, slot))

    def began(self, book: RunBook, shape: str, count: int) -> None:
        """Take note that actions of a shape begin."""
        queue = book.shapes.queue_of(shape)
        if queue in self._due:
            left, at_us = self._due[queue]
            self._due[queue] = left - count, at_us

    def slots(self, book: RunBook, shape: str) -> int:
        """How many more slots of a shape may be asked for now."""
        places = max(0, min((free for _, free in self._places(book, shape, None)), default=MANY))
        return places if places == MANY or self._is_next(book, shape) else 0

    def _is_next(self, book: RunBook, shape: str) -> bool:
        """Whether nobody has waited longer for a place that a slot of a shape would take."""
        limits, mine = self.held(book, shape), self._turn(book, shape)
        return not any(
            held.limits <= limits and self._turn(other, waiting) < mine
            for other in self._books()
            for waiting, held in other.held_back.items()
        )

    def _turn(self, book: RunBook, shape: str) -> tuple[int, int]:
        held = book.held_back.get(shape)
        return -self.priority(book, shape), held.since_us if held else self._now_us()

    def held(self, book: RunBook, shape: str) -> frozenset[str]:
        """Names of the limits in which a slot of a shape takes a place."""
        return frozenset(name for name, _ in self._places(book, shape, None))

    def full(self, book: RunBook, shape: str) -> frozenset[str]:
        """Names of those that are reached."""
        return frozenset(name for name, free in self._places(book, shape, None) if free <= 0)

    def _places(self, book: RunBook, shape: str, but: Slot | None) -> Iterator[tuple[str, int]]:
        """Yield name and free places of each limit.

        A slot `but` does not count. Without one, slots count that have nothing to do, and those that were asked for.
        """
        queue = book.shapes.queue_of(shape)
        if queue is not None:
            limits = self._known.get(queue)
            if limits is None:
                yield f"queue {queue}", 0  # nobody knows yet whether there is one
            elif limits.max_actions is not None:
                taken = sum(_taken(each, but, queue) for each in self._books())
                yield f"queue {queue}", limits.max_actions - taken
        if book.terms.most:
            yield f"run {book.state.id}", book.terms.most - _taken(book, but, None)

    def _due_now(self, queue: str | None) -> int:
        limits = self._known.get(queue or "")
        if queue is None or limits is None or limits.rate is None:
            return MANY
        most, now_us = max(1.0, limits.rate * BURST_S), self._now_us()
        left, at_us = self._due.get(queue, (most, now_us))
        left = min(most, left + max(0, now_us - at_us) / 1e6 * limits.rate)
        self._due[queue] = left, now_us
        return int(left + 1e-9)


def _runs(book: RunBook, slot: Slot) -> int:
    """How many actions run in a slot at a time. Who has open calls waits, though its slot may not have said so yet."""
    working = (name for name in slot.running if name not in slot.waiting and not book.open_children.get(name))
    return sum(1 for _ in islice(working, slot.concurrency))


def _taken(book: RunBook, but: Slot | None, queue: str | None) -> int:
    """Count the places that a run's slots take, of a queue or of all."""
    taken = 0
    for slot in book.slots.values():
        if slot is not but and (queue is None or book.shapes.queue_of(slot.shape) == queue):
            taken += _runs(book, slot) or int(but is None and not slot.running)
    if but is None:
        taken += sum(queue is None or book.shapes.queue_of(shape) == queue for shape in book.starting.values())
    return taken
