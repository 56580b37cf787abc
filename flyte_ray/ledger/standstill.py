"""Notice a run in which everything waits: CPUs that cannot be lent, memory and GPUs that Ray does not lend at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from flyte_ray.ledger.amounts import amounts_of, in_words, lends
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot

OVERFLOW: Final = "over-"
"""Begins the names of slots that take no CPU."""
OVERFLOW_S: Final = 2.0
"""How long a run may do nothing but wait for CPUs before it gets a slot that asks for none."""
BEGIN_S: Final = 15.0
"""How long a process of a pool may take to begin before a slot gets one of its own."""
STUCK_S: Final = 7.0
"""How long a run may do nothing but wait for what waiting actions hold."""


class Standstill:
    """Watches one run."""

    def __init__(self, book: RunBook, now_us: Callable[[], int]) -> None:
        """Watch a run by the ledger's clock."""
        self._book, self._now_us = book, now_us
        self._since: dict[str, int] = {}

    def look(self, books: Sequence[RunBook], may_grow: Callable[[str], bool]) -> list[tuple[str, str | None]]:
        """Return what must be done about it.

        Args:
            books: All runs that share the cluster: what is missing may be held by another one's slots.
            may_grow: Whether the cluster may get more room for slots with these Ray options by itself: who waits for
                that is left to wait.

        Returns:
            Shapes whose actions wait for too long, each with the Ray options of a slot that takes no CPU, or with None
            where no slot can ever start.

        """
        book, now_us = self._book, self._now_us()
        stands = bool(book.slots) and all(slot.stands for slot in book.slots.values())
        waiting = [
            shape
            for shape in book.dispatch.shapes
            if shape not in book.held_back  # a limit holds it back, of what runs elsewhere
            and ((stands and not self._may_come(shape, books)) or self._is_kept(shape, books))
        ]
        self._since = {shape: self._since.get(shape, now_us) for shape in waiting}
        found: list[tuple[str, str | None]] = []
        for shape, since in self._since.items():
            seconds = (now_us - since) / 1e6
            if may_grow(book.shapes.options_of(shape)):
                continue
            options = json.loads(book.shapes.options_of(shape))
            if not lends(options):
                # What a person may still end is no deadlock.
                asks = any(len(each.conditions) for each in books)
                found += [(shape, None)] if seconds > STUCK_S and not asks else []
            elif seconds > self._patience_s(shape, books) and not any(
                name.startswith(OVERFLOW) for name in book.starting
            ):
                # Those who wait hold CPUs that they do not use and cannot lend.
                found.append((shape, json.dumps({**options, "num_cpus": 0})))
        return found

    def _patience_s(self, shape: str, books: Sequence[RunBook]) -> float:
        """How long to wait for a slot in seconds; longer where a pool has a process to come, which is to be used."""
        pool = self._book.shapes.pool_of(shape)
        return OVERFLOW_S if pool is None or len(_slots_of(shape, books)) >= pool.most else BEGIN_S

    def _is_kept(self, shape: str, books: Sequence[RunBook]) -> bool:
        """Whether all processes of a pool serve other runs' actions that wait, and could be had beside them."""
        pool = self._book.shapes.pool_of(shape)
        if pool is None or not lends(json.loads(self._book.shapes.options_of(shape))):
            return False
        slots = _slots_of(shape, books)
        return len(slots) >= pool.most and all(slot.stands for slot in slots)

    def _may_come(self, shape: str, books: Sequence[RunBook]) -> bool:
        """Whether another run's slot goes on that holds something of what a shape needs, and will give it back."""
        needs = amounts_of(self._book.shapes.options_of(shape)).keys()
        return any(
            not slot.stands and needs & amounts_of(other.shapes.options_of(slot.shape)).keys()
            for other in books
            if other is not self._book
            for slot in other.slots.values()
        )

    def message(self, shape: str, books: Sequence[RunBook]) -> str:
        """Name what waits for slots of a shape, and who holds what such a slot needs."""
        book = self._book
        names, needs = book.dispatch.queued_of(shape), amounts_of(book.shapes.options_of(shape))
        first = book.refs[book.state.actions[names[0]].task].name if names else "an action"
        waiter = f"{first} ({names[0]})" if names else first
        more = f" and {len(names) - 1} more wait" if len(names) > 1 else " waits"
        holders = "; ".join(
            f"{other.refs[other.state.actions[name].task].name} ({name}{_of(other, book)}) holds"
            f" {in_words(amounts_of(other.shapes.options_of(slot.shape)))}"
            for other in books
            for slot in other.slots.values()
            for name in list(slot.running)[:1]
        )
        return (
            f"{waiter}{more} for {in_words(needs)}, which can never be had, because it is held by actions that wait"
            f" themselves: {holders}. Ray lends the CPUs of those who wait, not memory or GPUs: ask for less in the"
            f" caller's environment."
        )


def _slots_of(shape: str, books: Sequence[RunBook]) -> list[Slot]:
    return [slot for book in books for slot in book.slots.values() if slot.shape == shape]


def _of(other: RunBook, book: RunBook) -> str:
    return "" if other is book else f" of run {other.state.id}"
