"""Start slots where work waits for them, and end those that nobody needs.

Called with the service's lock held; what the cluster can hold is asked of the launcher.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from typing import Final

from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.messages import Bye
from flyte_ray.ledger.requests import Launcher
from flyte_ray.ledger.standstill import OVERFLOW, Standstill
from flyte_ray.ledger.verdicts import failure

LINGER_S: Final = 2.0
"""How long a slot without work is kept while nobody else waits for its resources."""


class Fleet:
    """The slots of all runs of a ledger."""

    def __init__(self, launcher: Launcher) -> None:
        """Start slots by a launcher."""
        self._launcher = launcher

    def fill(self, book: RunBook) -> None:
        """Start the slots that a run's queues are worth."""
        for shape in book.dispatch.shapes:
            options = book.options_of(shape)
            for _ in range(book.slots_lacking(shape, self._launcher.capacity(options))):
                self._launch(book, shape, options)

    def unstick(self, book: RunBook, watch: Standstill) -> None:
        """Help a run in which everything waits, or fail what can never begin."""
        for shape, options in watch.look(self._launcher.may_grow):
            if options is None:
                book.fail_queued(shape, failure("ResourceDeadlockError", "user", watch.message()))
            elif self._launcher.capacity(book.options_of(shape)):  # what fits no node is refused, not squeezed in
                self._launch(book, shape, options, OVERFLOW)

    def dismiss_idle(self, books: Iterable[RunBook], reply: Callable[[RunBook, Slot], None]) -> None:
        """End slots that have not begun and are not needed, and those that have had nothing to do for a while."""
        now = time.monotonic()
        wanted = any(book.starting for book in books)
        for book in books:
            self.recall(book, [name for name, shape in book.starting.items() if not len(book.dispatch.queue(shape))])
        for book in books:
            for slot in list(book.slots.values()):
                busy = slot.running or slot.has_news or slot.owes(book.recorder.stored)
                if busy or not slot.parked or len(book.dispatch.queue(slot.shape)):
                    slot.idle_since = None
                    continue
                slot.idle_since = slot.idle_since or now
                if now - slot.idle_since > (0.0 if wanted else LINGER_S):
                    slot.order(Bye("it has nothing to do"))
                    reply(book, slot)
                    del book.slots[slot.id]

    def recall(self, book: RunBook, names: Iterable[str]) -> None:
        """End slots that were asked for and have not attached."""
        for name in list(names):
            del book.starting[name]
            self._launcher.kill(name)

    def kill(self, names: Iterable[str]) -> None:
        """End the processes of slots; their deaths are reported."""
        for name in names:
            self._launcher.kill(name)

    def _launch(self, book: RunBook, shape: str, options: str, prefix: str = "") -> None:
        name = f"{prefix}{book.state.id}-{uuid.uuid4().hex[:8]}"
        book.starting[name] = shape
        self._launcher.launch(name, book.state.id, shape, options)
