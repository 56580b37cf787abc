"""Hold a slot's conversation with the ledger, on a thread with no user code on it.

Invariants: one exchange is always open, because it is how the ledger reaches the slot; items wait for company while
something runs here, and for nothing when the slot has nothing else to do.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final, Protocol

from flyte_ray.ledger.messages import Held, Item, Message, Order, Reply, TaskRef
from flyte_ray.runtime.mailbox import Mailbox

HOLD_BACK_S: Final = 0.005
"""How long an item may wait for company while something runs here."""


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


@dataclass(frozen=True)
class Standing:
    """What a slot says of itself in a message; see `Message`."""

    want: int
    waiting: frozenset[str]
    lone: frozenset[str]
    buried: bool
    calling: bool
    active: str


class Host(Protocol):
    """What the conversation asks of its slot, with the slot's lock held."""

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


class Exchange:
    """One slot's conversation; every method but `run` is called with the slot's lock held."""

    def __init__(
        self, slot: str, run: str, shape: str, about: dict[str, str], changed: threading.Condition, port: Port
    ) -> None:
        """Prepare; `run` speaks until `close`.

        Args:
            slot: The slot's id.
            run: The run it serves.
            shape: Its shape.
            about: What the first message says of its process.
            changed: The slot's lock, notified at every change.
            port: Carries messages.

        """
        self.ends = False
        """Its process is about to end, not by an action's doing."""
        self.parked = False
        """The slot's main thread sits in `Port.park`."""
        self.refs: dict[str, TaskRef] = {}
        self._slot, self._run_name, self._shape, self._about = slot, run, shape, about
        self._changed, self._port = changed, port
        self._mail = Mailbox()
        self._new_refs: dict[str, TaskRef] = {}
        self._seq = self._answered = 0
        self._asked = False
        """A message that wants work is unanswered."""
        self._bell = False
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
        if not self._mail.unsent:
            self._changed.notify_all()
        self._mail.put(item)

    def ring(self) -> None:
        """Wake the main thread if it is parked: a newer exchange has the older one answered."""
        if self.parked:
            self._bell = True

    def say_waits(self, reason: str) -> None:
        """Tell why the store does not answer, empty that it does again; with the next message, which goes at once."""
        self._waits_for_store = reason
        self._bell = True
        self._changed.notify_all()

    def hear(self, reply: Reply, seq: int) -> list[Order]:
        """Take in the reply to message number `seq`; return the orders that are new."""
        if seq == self._seq:
            # An older one was answered because the latest superseded it: that still asks.
            self._asked = False
        self._answered = max(self._answered, seq)
        self.refs.update(reply.tasks)
        orders = self._mail.hear(reply)
        if self._mail.attach or (self.parked and seq != self._seq):
            self._bell = True
        return orders

    def lost(self) -> None:
        """Take note that a message was not answered: say it again."""
        self._mail.again()
        self._asked = False
        self._bell = True

    def hurry(self) -> None:
        """Have everything said now."""
        self._bell = True
        self._changed.notify_all()

    def flush(self, timeout_s: float) -> None:
        """Have everything said now and wait until it is on its way; the lock is let go meanwhile.

        What is on its way arrives, also if the user's code holds Python's lock from here on.
        """
        awaited = self._awaited = self._seq + 1
        self.hurry()
        self._changed.wait_for(lambda: self._gone >= awaited or self._closed, timeout_s)

    def flush_heard(self, timeout_s: float) -> None:
        """Have everything said now and wait until the ledger has answered: what is on its way dies with the process."""
        self.flush(timeout_s)
        said = self._awaited
        self.flush(timeout_s)  # a newer message has the older one answered
        self._changed.wait_for(lambda: self._answered >= said or self._closed, timeout_s)

    def close(self) -> None:
        """Have `run` send what is left and return."""
        self._closed = True

    def run(self, host: Host) -> None:
        """Speak until closed; the calling thread does nothing else."""
        while True:
            with self._changed:
                self._wait(host)
                if self._closed and not self._mail.unsent:
                    return
                message, last = self._compose(host), self._closed
            self._port.send(message)
            if last:
                return
            if self._awaited > self._gone:
                with self._changed:
                    self._gone = message.seq
                    self._changed.notify_all()

    def _wait(self, host: Host) -> None:
        since: float | None = None
        while not self._closed and not self._must_send(host):
            now = time.monotonic()
            if self._mail.unsent or self._answered == self._seq:
                since = since or now
                if now - since >= HOLD_BACK_S:
                    return
            stale = host.stale_at()
            limits = [HOLD_BACK_S] if since is not None else []
            limits += [max(0.01, stale - now)] if stale is not None else []
            self._changed.wait(min(limits) if limits else None)
            host.hand_back()

    def _must_send(self, host: Host) -> bool:
        return self._bell or (host.is_hungry() and (self._mail.unsent > 0 or not self._asked))

    def _compose(self, host: Host) -> Message:
        attach = self._mail.attach
        first, items = self._mail.take()
        standing = host.standing()
        self._seq += 1
        self._bell = False
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
        )
