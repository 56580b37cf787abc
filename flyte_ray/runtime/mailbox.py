"""Keep a slot's end of its conversation with the ledger.

Invariants: an item is kept until its segment is stored, an outcome until it rests on stored events, so that a
restarted ledger gets both again; an order is taken once. Pure; guarded by the slot's lock.
"""

from __future__ import annotations

from collections import deque

from flyte_ray.ledger.messages import Item, Order, Outcome, Reply


class Mailbox:
    """Numbered items out, numbered orders in."""

    def __init__(self) -> None:
        """Begin a conversation."""
        self.epoch = 0
        self.received = 0
        """All orders below this number have arrived."""
        self.attach = False
        """The ledger is new: messages hand in what the slot holds until it confirms that."""
        self.missed = False
        """The message that `take` was called for asks for all orders from `received` on again."""
        self._known = 0
        """All orders below this number have been sent."""
        self._unanswered = False
        """A message was lost, or its answer, and with it perhaps orders of which nothing is known."""
        self._items: list[Item] = []
        self._base = 0
        self._sent = 0
        self._outcomes: deque[tuple[int, Outcome]] = deque()

    def put(self, item: Item) -> None:
        """Queue an item."""
        self._items.append(item)

    @property
    def unsent(self) -> int:
        """Number of items that no message has carried."""
        return self._base + len(self._items) - self._sent

    @property
    def unstored(self) -> int:
        """Number of items that are not known to be stored."""
        return len(self._items)

    def take(self) -> tuple[int, list[Item]]:
        """Return the number of the first unsent item and all unsent ones, which count as sent from now on."""
        if self.attach:
            self._again()
        self.missed, self._unanswered = self._unanswered or self.lacks, False
        first = self._sent
        fresh = self._items[first - self._base :]
        self._sent += len(fresh)
        return first, fresh

    def outcomes(self) -> list[Outcome]:
        """Outcomes received that do not rest on stored events as far as is known."""
        return [outcome for _, outcome in self._outcomes]

    @property
    def lacks(self) -> bool:
        """Whether orders are known to be missing: an answer that came later has passed over them."""
        return self.received < self._known

    def lost(self) -> None:
        """Send all that is not stored again and ask for orders again: a message was lost, or its answer."""
        self._unanswered = True
        self._again()

    def _again(self) -> None:
        self._sent = self._base

    def hear(self, reply: Reply) -> list[Order]:
        """Take in a reply and return the orders that are new."""
        if reply.epoch < self.epoch:
            return []  # from a ledger that is gone
        if reply.epoch != self.epoch:
            if self.epoch or reply.gap:
                # The ledger has restarted: it numbers its orders from 0 and knows what is stored only.
                self.attach = True
                self.received = self._known = 0
                self._again()
            self.epoch = reply.epoch
        if self.attach and reply.gap:
            return []
        self.attach = False
        stored = min(max(reply.stored - self._base, 0), len(self._items))
        del self._items[:stored]
        self._base += stored
        self._sent = max(self._sent, self._base)
        if reply.gap:
            self._sent = max(self._base, min(self._sent, reply.received))
        self._known = max(self._known, reply.first + len(reply.orders))
        fresh = reply.orders[self.received - reply.first :] if reply.first <= self.received else []
        for order in fresh:
            if type(order) is Outcome and order.on_record:
                self._outcomes.append((self.received, order))
            self.received += 1
        while self._outcomes and self._outcomes[0][0] < reply.settled:
            self._outcomes.popleft()
        return fresh
