"""Keep the ledger's end of its conversation with one slot.

Invariants: an item is taken once and in order, however often it arrives; an order stays until the slot acknowledged
it. Pure: knows nothing of what items and orders mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from flyte_ray.ledger.messages import Item, Message, Order, Reply, TaskRef, Work

Answer = Callable[[Reply], None]
"""Delivers a reply to the slot; called once, outside of any lock."""


@dataclass(slots=True)
class Slot:
    """One slot as the ledger sees it."""

    id: str
    run: str
    shape: str
    since_us: int = 0
    """When it attached, in microseconds since the epoch."""
    attached: bool = False
    """It is new, or has handed in what it held before this ledger."""
    seq: int = -1
    parked: Answer | None = None
    """The open exchange, if any."""
    want: int = 0
    ahead: int = 0
    given_us: int = 0
    """When it was last given work, in microseconds since the epoch."""
    waiting: frozenset[str] = frozenset()
    lone: frozenset[str] = frozenset()
    buried: bool = False
    calling: bool = False
    active: str = ""
    waits_for_store: str = ""
    gives_way: bool = False
    """It gets no more work, because another queue is to have its resources."""
    concurrency: int = 1
    """Actions that may run in it at a time."""
    doomed: bool = False
    """It has said that its process is being ended: it gets no more work, and what it holds is not to blame."""
    running: dict[str, int] = field(default_factory=dict)
    """Attempts it was handed or told us of and that have not come back, by action."""
    awaiting: set[str] = field(default_factory=set)
    """Children that its actions asked for."""
    about: dict[str, str] = field(default_factory=dict)
    idle_since: float | None = None
    known_tasks: set[str] = field(default_factory=set)
    """Keys of tasks whose reference the slot has."""
    received: int = 0
    gap: bool = False
    _orders: deque[Order] = field(default_factory=deque)
    _first: int = 0
    _sent: int = 0
    _item_marks: deque[tuple[int, int]] = field(default_factory=deque)
    _order_marks: deque[tuple[int, int]] = field(default_factory=deque)
    _stored: int = 0
    _settled: int = 0
    _behind: bool = False
    _taken: int = 0
    _kept: dict[str, int] = field(default_factory=dict)

    def is_overtaken(self, message: Message) -> bool:
        """Note a message's number and say whether a later one has come before it.

        An overtaken message is answered at once, also if the later one was refused: a slot hears its replies in the
        order of its messages.
        """
        self.seq = max(self.seq, message.seq)
        return message.seq < self.seq

    def hear(self, message: Message) -> Sequence[Item]:
        """Take what is new of a message whose number was noted; sets `gap` if items are missing before it."""
        self._acknowledge(message.received)
        if message.missed:
            self.resend()
        self.doomed = self.doomed or message.ends
        self.known_tasks.update(message.tasks)
        self._behind = message.first > self.received
        if self._behind:
            self.gap = True
            return ()
        fresh = message.items[self.received - message.first :]
        self._taken = self.received
        self.received += len(fresh)
        if message.seq == self.seq:
            self.want, self.ahead = message.want, message.ahead
            self.waiting, self.lone = message.waiting, message.lone
            self.buried, self.calling, self.active = message.buried, message.calling, message.active
            self.waits_for_store = message.waits_for_store
        return fresh

    def order(self, order: Order) -> None:
        """Queue an order for the next reply."""
        self._orders.append(order)

    def keep(self, call: str) -> None:
        """Have the slot keep a call that was just heard, as if it were not stored, and what came with and after it."""
        self._kept[call] = self._taken

    def release(self, call: str) -> None:
        """Undo `keep`."""
        self._kept.pop(call, None)

    def mark(self, recorded: int) -> None:
        """Note that all items taken and orders queued so far rest on the first `recorded` events of the run."""
        settled = min(self._kept.values(), default=self.received)
        if not self._item_marks or self._item_marks[-1][0] < settled:
            self._item_marks.append((settled, recorded))
        upto = self._first + len(self._orders)
        if not self._order_marks or self._order_marks[-1][0] < upto:
            self._order_marks.append((upto, recorded))

    @property
    def stands(self) -> bool:
        """Whether all that is in it waits, as far as it has said."""
        if self.concurrency > 1:
            return bool(self.running) and len(self.waiting) >= len(self.running)
        # `calling`: inside of asyncio.run or a thread pool, a sync action may wait without saying so.
        return bool(self.waiting) or self.calling

    @property
    def busy(self) -> int:
        """How many attempts in it do not wait, as far as it has said."""
        return sum(name not in self.waiting for name in self.running)

    @property
    def has_news(self) -> bool:
        """Whether an order was queued that no reply has carried."""
        return self._first + len(self._orders) > self._sent

    @property
    def is_caught_up(self) -> bool:
        """Whether the slot has acknowledged every order, and all that it said meanwhile has arrived."""
        return not self._orders and not self._behind

    def owes(self, stored: int) -> bool:
        """Whether an item was taken that rests on more than the first `stored` events."""
        return bool(self._item_marks) and self._item_marks[-1][1] > stored

    def reply(self, epoch: int, stored: int, may_tell: bool, tasks: Mapping[str, TaskRef]) -> Reply:
        """Build the next reply: it carries the orders that none has carried, or all that may have been lost.

        Args:
            epoch: The ledger's incarnation.
            stored: How many of the run's events are stored.
            may_tell: Whether the slot may start children by itself.
            tasks: All tasks of the run, by key.

        """
        while self._item_marks and self._item_marks[0][1] <= stored:
            self._stored = self._item_marks.popleft()[0]
        while self._order_marks and self._order_marks[0][1] <= stored:
            self._settled = self._order_marks.popleft()[0]
        first = max(self._sent, self._first)
        orders = list(islice(self._orders, first - self._first, None))
        self._sent = first + len(orders)
        gap, self.gap = self.gap, False
        needed = {order.task for order in orders if type(order) is Work} - self.known_tasks
        refs = {key: tasks[key] for key in needed}
        return Reply(epoch, first, orders, self.received, self._stored, self._settled, refs, may_tell, gap)

    def resend(self) -> None:
        """Treat every unacknowledged order as news, because a reply was lost."""
        self._sent = self._first

    def _acknowledge(self, received: int) -> None:
        while self._first < received and self._orders:
            order = self._orders.popleft()
            self._first += 1
            if type(order) is Work:
                self.known_tasks.add(order.task)
