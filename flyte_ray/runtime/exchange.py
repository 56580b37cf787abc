"""Hold a slot's conversation with the ledger, on a thread with no user code on it.

Invariants: one exchange is always open, because it is how the ledger reaches the slot; items wait for company while
something runs here, and for nothing when the slot has nothing else to do. One message is sent after the other; between
short actions their thread sends what is due itself, because another one gets Python's lock too late for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Final, Protocol

from flyte_ray.ledger.messages import Held, Item, Message, Order, Reply, TaskRef
from flyte_ray.runtime.mailbox import Mailbox
from flyte_ray.runtime.standing import Standing

TELL_S, LAST_S = 1.0, 2.0
"""How long an action waits at most until its begin, and its process until its end, is told."""
HOLD_BACK_S: Final = 0.005
"""How long an item may wait for company while something runs here."""
OWN_S: Final = 2 * HOLD_BACK_S
"""How long until the exchange's own thread sees to it, where none that runs actions has come by."""
PROMPT: Final = 64
"""So many orders at once are of short actions: the ledger is answered at once, so that it chooses the next ones while
these run."""


class Port(Protocol):
    """A slot's way to the ledger; replies come back through `Slot.hear`."""

    lends: bool
    """Whether `park` gives the CPU to others."""

    def send(self, message: Message) -> None:
        """Post a message; returns at once."""

    def latest(self) -> object:
        """Return a ticket for the latest message."""

    def park(self, ticket: object) -> None:
        """Block until that message is answered, by a reply or because a later one superseded it."""


class Host(Protocol):
    """What the conversation asks of its slot, with the slot's lock held, but for `deliver`."""

    def is_hungry(self) -> bool:
        """Whether more could run here than does or is about to."""

    def standing(self) -> Standing:
        """Say what it wants and what waits in it."""

    def held(self, mail: Mailbox) -> Held:
        """Say what a new ledger must know."""

    def stale_at(self) -> float | None:
        """When work that waits here is to be handed back, by the monotonic clock."""

    def hand_back(self) -> None:
        """Hand it back if it is time."""

    def deliver(self) -> None:
        """Wake who waits for what has ended in it."""


class Exchange:
    """One slot's conversation; every method but `run` and `speak` is called with the slot's lock held."""

    def __init__(
        self, slot: str, run: str, shape: str, about: dict[str, str], lock: threading.RLock, port: Port
    ) -> None:
        """Prepare; `run` speaks until `close`.

        Args:
            slot: The slot's id.
            run: The run it serves.
            shape: Its shape.
            about: What the first message says of its process.
            lock: The slot's.
            port: Carries messages.

        """
        self.ends = False
        """Its process is about to end, not by an action's doing."""
        self.parked = False
        """The slot's main thread sits in `Port.park`."""
        self.refs: dict[str, TaskRef] = {}
        self._slot, self._run_name, self._shape, self._about = slot, run, shape, about
        self._lock, self._port = lock, port
        # Not the main thread's: each would be woken for what the other has to do.
        self._due = threading.Condition(lock)
        self._mail = Mailbox()
        self._new_refs: dict[str, TaskRef] = {}
        self._seq = self._answered = 0
        self._asked = False
        """A message that wants work is unanswered."""
        self._bell = False
        self._since: float | None = None
        """Since when an item, or that no exchange is open, waits for the next message; by the monotonic clock."""
        self._speaking = threading.Lock()
        """Held from before a message is composed until it is sent; taken before the slot's lock."""
        self._awaited = self._gone = 0
        """Number of the message that somebody waits for to be on its way, and of the last that was seen to be."""
        self._closed = False
        self._waits_for_store = ""

    def learn(self, key: str, ref: TaskRef) -> None:
        """Name a task to the ledger with the next message."""
        if key not in self.refs:
            self.refs[key] = self._new_refs[key] = ref

    def post(self, item: Item) -> None:
        """Queue an item."""
        self._mail.put(item)
        self._wait_for_next()

    def _wait_for_next(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._due.notify_all()

    def ring(self) -> None:
        """Wake the main thread if it is parked: a newer exchange has the older one answered."""
        if self.parked:
            self.hurry()

    def wake(self) -> None:
        """Have `run` look whether the slot is hungry."""
        self._due.notify_all()

    def say_waits(self, reason: str) -> None:
        """Tell why the store does not answer, empty that it does again; with the next message, which goes at once."""
        self._waits_for_store = reason
        self._bell = True
        self._due.notify_all()

    def hear(self, reply: Reply, seq: int) -> list[Order]:
        """Take in the reply to message number `seq`; return the orders that are new."""
        if seq == self._seq:
            # An older one was answered because the latest superseded it: that still asks.
            self._asked = False
        self._answered = max(self._answered, seq)
        self.refs.update(reply.tasks)
        if self._answered == self._seq:
            self._wait_for_next()
        orders = self._mail.hear(reply)
        is_batch = len(orders) >= PROMPT
        if self._mail.attach or self._mail.lacks or is_batch or (self.parked and seq != self._seq):
            self._bell = True
        self._due.notify_all()
        return orders

    def lost(self) -> None:
        """Take note that a message was not answered: say it again."""
        self._mail.lost()
        self._asked = False
        self.hurry()

    def hurry(self) -> None:
        """Have everything said now."""
        self._bell = True
        self._due.notify_all()

    def flush(self, timeout_s: float = TELL_S) -> None:
        """Have everything said now and wait until it is on its way; the lock is let go meanwhile.

        What is on its way arrives, also if the user's code holds Python's lock from here on.
        """
        awaited = self._awaited = self._seq + 1
        self.hurry()
        self._due.wait_for(lambda: self._gone >= awaited or self._closed, timeout_s)

    def tell_last(self, results: Iterable[Item]) -> None:
        """Have everything said now, for the process ends, and wait until the ledger has answered that."""
        for result in results:
            self.post(result)
        self.ends = True
        self.flush(LAST_S)  # what is on its way dies with the process
        said = self._awaited
        self.flush(LAST_S)  # a newer message has the older one answered
        self._due.wait_for(lambda: self._answered >= said or self._closed, LAST_S)

    def close(self) -> None:
        """Have `run` send what is left and return."""
        self._closed = True
        self._due.notify_all()

    def run(self, host: Host) -> None:
        """Speak until closed; the calling thread does nothing else."""
        while True:
            with self._lock:
                self._wait(host)
                if self._closed and not self._mail.unsent:
                    return
            with self._speaking:
                self._say(host)

    def speak(self, host: Host) -> None:
        """Send what is due, unless that is under way; called without the lock by threads that run actions."""
        since = self._since
        if self._closed or not (self._bell or (since is not None and time.monotonic() - since >= HOLD_BACK_S)):
            return  # what is left when it is closed its own thread sends
        if not self._speaking.acquire(blocking=False):
            return
        try:
            self._say(host)
            with self._lock:
                self._wait_for_next()  # what the thread runs next is told by the exchange's own, if it takes long
        finally:
            self._speaking.release()

    def _say(self, host: Host) -> None:
        with self._lock:
            if not (self._is_due(host, HOLD_BACK_S) or self._closed):
                return  # another thread has just said it
            message = self._compose(host)
        self._port.send(message)
        host.deliver()
        if self._awaited > self._gone:
            with self._lock:
                self._gone = message.seq
                self._due.notify_all()

    def _wait(self, host: Host) -> None:
        while not (self._closed or self._is_due(host, OWN_S)):
            now, stale = time.monotonic(), host.stale_at()
            limits = [max(0.0, self._since + OWN_S - now)] if self._since is not None else []
            limits += [max(0.01, stale - now)] if stale is not None else []
            self._due.wait(min(limits) if limits else None)
            host.hand_back()

    def _is_due(self, host: Host, after_s: float) -> bool:
        return self._must_send(host) or (self._since is not None and time.monotonic() - self._since >= after_s)

    def _must_send(self, host: Host) -> bool:
        return self._bell or (host.is_hungry() and (self._mail.unsent > 0 or not self._asked))

    def _compose(self, host: Host) -> Message:
        attach = self._mail.attach
        first, items = self._mail.take()
        standing = host.standing()
        self._seq += 1
        self._bell, self._since = False, None
        self._asked = host.is_hungry()
        tasks, self._new_refs = dict(self.refs if attach else self._new_refs), {}
        return Message(
            slot=self._slot,
            run=self._run_name,
            shape=self._shape,
            seq=self._seq,
            epoch=self._mail.epoch,
            first=first,
            items=items,
            received=self._mail.received,
            tasks=tasks,
            want=standing.want,
            waiting=standing.waiting,
            lone=standing.lone,
            buried=standing.buried,
            calling=standing.calling,
            active=standing.active,
            held=host.held(self._mail) if attach else None,
            about=self._about if self._seq == 1 or attach else {},
            waits_for_store=self._waits_for_store,
            ends=self.ends,
            ahead=standing.ahead,
            missed=self._mail.missed,
        )
