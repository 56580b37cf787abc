"""Start slots where work waits for them, and end those that nobody needs.

Called with the service's lock held; what the cluster can hold is asked of the launcher.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from flyte_ray.ledger.admission import Admission
from flyte_ray.ledger.amounts import amounts_of
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.faults import LAUNCH, Faults
from flyte_ray.ledger.messages import Bye, Pool
from flyte_ray.ledger.requests import Launcher
from flyte_ray.ledger.shapes import HeldBack
from flyte_ray.ledger.sharing import Party, concessions, lacked
from flyte_ray.ledger.standstill import OVERFLOW, Standstill
from flyte_ray.ledger.verdicts import failure

LINGER_S: Final = 2.0
"""How long a slot without work is kept while nobody else waits for its resources."""


class Fleet:
    """The slots of all runs of a ledger."""

    def __init__(self, launcher: Launcher, faults: Faults, admission: Admission, now_us: Callable[[], int]) -> None:
        """Start slots by a launcher, as many as limits allow, by the ledger's clock."""
        self._launcher, self._faults, self._admission, self._now_us = launcher, faults, admission, now_us
        self._asked_us: dict[str, int] = {}
        """When a slot was asked for that has not attached, by id."""

    def fill(self, book: RunBook) -> None:
        """Start the slots that a run's queues are worth, unless others wait for what they would take."""
        held_back: dict[str, HeldBack] = {}
        for shape in book.dispatch.shapes:
            if shape in book.concedes:
                continue
            options, pool = book.shapes.options_of(shape), book.shapes.pool_of(shape)
            capacity = self._launcher.capacity(options)
            lacking = book.slots_lacking(shape, min(capacity, pool.most) if pool else capacity)
            allowed = min(lacking, self._admission.slots(book, shape)) if lacking > 0 else 0
            for _ in range(allowed):
                self._launch(book, shape, options)
            if allowed < lacking:
                before = book.held_back.get(shape)
                since_us = before.since_us if before else self._now_us()
                limits = self._admission.full(book, shape) or self._admission.held(book, shape)
                held_back[shape] = HeldBack(since_us, limits)
        book.held_back = held_back

    def unstick(self, book: RunBook, watch: Standstill, books: Sequence[RunBook]) -> None:
        """Help a run in which everything waits, or fail what can never begin."""
        for shape, options in watch.look(books, self._launcher.may_grow):
            if options is None:
                message = watch.message(shape, books)
                book.fail_queued(shape, failure("ResourceDeadlockError", "user", message))
            elif self._launcher.capacity(book.shapes.options_of(shape)):
                self._launch(book, shape, options, OVERFLOW)  # what fits no node is refused, not squeezed in

    def share(self, books: Sequence[RunBook], now_us: int) -> None:
        """Have slots give way where one queue keeps another waiting; call at every tick."""
        names = {name for book in books for name in book.starting}
        self._asked_us = {name: self._asked_us.get(name, now_us) for name in names}
        for book in books:
            book.concedes.clear()
        if not names and not any(book.held_back for book in books):
            return
        taken = Counter(slot.shape for book in books for slot in book.slots.values())
        parties = [self._party(book, shape, taken) for book in books for shape in sorted(_shapes(book))]
        if scarce := lacked(parties, now_us):
            self._launcher.spare(scarce)
        by_run = {book.state.id: book for book in books}
        for concession in concessions(parties, now_us):
            by_run[concession.party.run].concedes[concession.party.shape] = concession.slots

    def _party(self, book: RunBook, shape: str, taken: Mapping[str, int]) -> Party:
        options, pool = book.shapes.options_of(shape), book.shapes.pool_of(shape)
        holds = frozenset(amounts_of(options))
        slots = [slot for slot in book.slots.values() if slot.shape == shape]
        asked = [self._asked_us[name] for name, wanted in book.starting.items() if wanted == shape]
        scarce = self._scarce(shape, options, pool, taken[shape]) if asked else frozenset()
        if shape in book.held_back:
            asked.append(book.held_back[shape].since_us)
            scarce |= book.held_back[shape].limits
        return Party(
            book.state.id,
            shape,
            (holds | {shape} if pool else holds) | self._admission.held(book, shape),
            [slot.since_us for slot in slots if not slot.waiting and not slot.gives_way],
            sum(slot.gives_way for slot in slots),
            asked,
            scarce,
            self._admission.priority(book, shape),
            book.terms.owner,
        )

    def _scarce(self, shape: str, options: str, pool: Pool | None, taken: int) -> frozenset[str]:
        """What a slot waits for; of a pool whose processes are all in use that is one of them."""
        if pool is not None and pool.concurrency == 1 and taken >= pool.most:
            return frozenset({shape})
        return self._launcher.scarce(options)

    def dismiss_idle(self, books: Sequence[RunBook], reply: Callable[[RunBook, Slot], None]) -> None:
        """End slots that have not begun and are not needed, and those that have had nothing to do for a while."""
        now = time.monotonic()
        wanted = any(book.starting or book.held_back for book in books)
        for book in books:
            self.recall(book, [name for name, shape in book.starting.items() if not len(book.dispatch.queue(shape))])
        for book in books:
            for slot in list(book.slots.values()):
                busy = slot.running or slot.has_news or slot.owes(book.recorder.stored) or not slot.parked
                if busy or (self._is_useful(book, slot) and not slot.gives_way):
                    slot.idle_since = None
                    continue
                slot.idle_since = slot.idle_since or now
                if slot.gives_way or now - slot.idle_since > (0.0 if wanted else LINGER_S):
                    slot.order(Bye("others wait for its resources" if slot.gives_way else "it has nothing to do"))
                    reply(book, slot)
                    del book.slots[slot.id]

    def _is_useful(self, book: RunBook, slot: Slot) -> bool:
        """Whether there is something for a slot that does nothing, and it may begin or soon will."""
        return book.dispatch.has_for(slot) and self._admission.has_place(book, slot)

    def leave(self, book: RunBook) -> None:
        """End what was asked for on behalf of a run that has ended."""
        self.recall(book, book.starting)
        self._launcher.retire(book.state.id)

    def recall(self, book: RunBook, names: Iterable[str]) -> None:
        """End slots that were asked for and have not attached."""
        for name in list(names):
            del book.starting[name]
            self._launcher.recall(name)

    def kill(self, names: Iterable[str]) -> None:
        """End the processes of slots; their deaths are reported."""
        for name in names:
            self._launcher.kill(name)

    def _launch(self, book: RunBook, shape: str, options: str, prefix: str = "") -> None:
        name = f"{prefix}{book.state.id}-{uuid.uuid4().hex[:8]}"
        book.starting[name] = shape
        self._faults.at(f"before {LAUNCH}")
        # Where all processes of its pool wait, it gets one of its own.
        self._launcher.launch(name, book.state.id, shape, options, book.shapes.pool_of(shape), own=bool(prefix))
        self._faults.at(f"after {LAUNCH}")


def _shapes(book: RunBook) -> set[str]:
    return {slot.shape for slot in book.slots.values()} | set(book.starting.values()) | set(book.held_back)
