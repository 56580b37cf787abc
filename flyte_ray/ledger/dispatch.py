"""Choose which of one run's queued actions go to which slot, and how many slots they are worth.

Invariants: an action is in at most one queue; a batch is a reply's worth of measured work, and what is unmeasured or
has lost a slot goes alone; on a waiting sync action is stacked only what is short or what it waits for; what may cost
its slot the process shares it with its own descendants only, and what is suspected to have done so with nobody.
Decides nothing about outcomes (`ledger/book.py`) and records nothing.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Final

from flyte_ray.ledger.amounts import lends
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.losses import is_watched
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.queue import AHEAD_S, BATCH_S, PROBE_US, SHORT_S, Durations, ShapeQueue
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.phase import ActionPhase

MAX_VISITORS: Final = 1000
"""Actions that one slot may hold at a time, most of them waiting."""


class Dispatch:
    """The queues of one run."""

    def __init__(
        self,
        actions: Mapping[str, ActionState],
        ref_of: Callable[[ActionState], TaskRef],
        now_us: Callable[[], int],
    ) -> None:
        """Begin with empty queues.

        Args:
            actions: The run's actions by id, as its events are folded.
            ref_of: Gives an action's task.
            now_us: The ledger's clock.

        """
        self.durations = Durations()
        self._actions, self._ref_of, self._now_us = actions, ref_of, now_us
        self._queues: dict[str, ShapeQueue] = {}
        self._queued: set[str] = set()
        self._timers: list[tuple[int, str]] = []
        self.asking: set[str] = set()
        """Tasks that wait for signals: for how long, nobody knows."""

    def enqueue(self, action: ActionState) -> None:
        """Queue an action, now or when its backoff is over; queueing it twice changes nothing."""
        if action.ready_us and action.ready_us > self._now_us():
            heapq.heappush(self._timers, (action.ready_us, action.id))
        elif action.id not in self._queued:
            self._queued.add(action.id)
            self.queue(self._ref_of(action).shape).push(action.id, action.task, action.depth)

    def holds(self, name: str) -> bool:
        """Whether an action waits in a queue."""
        return name in self._queued

    def due(self) -> None:
        """Queue what has waited long enough."""
        while self._timers and self._timers[0][0] <= self._now_us():
            action = self._actions[heapq.heappop(self._timers)[1]]
            if action.phase is ActionPhase.QUEUED:
                self.enqueue(action)

    def queue(self, shape: str) -> ShapeQueue:
        """The queue of a shape; empty if nothing was called for it."""
        found = self._queues.get(shape)
        if found is None:
            found = self._queues[shape] = ShapeQueue(self.durations, self._now_us)
        return found

    @property
    def shapes(self) -> list[str]:
        """Shapes with queued actions."""
        return [shape for shape, queue in self._queues.items() if len(queue)]

    def queued_of(self, shape: str) -> list[str]:
        """Ids of the actions that wait for a slot of a shape."""
        return [name for name in self._queued if self._ref_of(self._actions[name]).shape == shape]

    def choose(self, slot: Slot, takers: int, places: int = 1, room: int | None = None) -> list[ActionState]:
        """Take from the queue what a slot should have.

        Args:
            slot: It wants work.
            takers: Slots that share the queue.
            places: Actions that it may run at a time besides those that it runs.
            room: How many it may have at most; None for any number.

        """
        queue = self._queues.get(slot.shape)
        chosen: list[ActionState] = []
        if not queue:
            return chosen
        most = min(slot.want or slot.ahead, ceil(len(queue) / max(1, takers)))
        most = most if room is None else min(most, room)
        seconds, budget, follows = 0.0, BATCH_S * places, True
        if not slot.want:
            seconds, budget, follows = self._held_s(slot), AHEAD_S, self._may_be_followed(slot)
        while len(chosen) < most and seconds < budget:
            head = queue.peek()
            if head is None:
                break
            action = self._actions[head[0]]
            if action.phase is ActionPhase.QUEUED:
                mean = self.durations.mean(action.task)
                asks = action.task in self.asking
                slow = mean is None or asks or action.losses > 0 or self._ref_of(action).runs_alone
                alone = slow if slot.concurrency == 1 else self._wants_all(action)
                if slot.want:
                    may = not (alone and chosen) and self._may_enter(slot, action, mean)
                else:
                    may = not slow and follows and self._may_follow(action, mean)
                if not may:
                    break
                chosen.append(action)
                seconds += budget if alone else BATCH_S if slow else min(mean or 0.0, BATCH_S)
            queue.pop()
            self._queued.discard(action.id)
        if chosen:
            slot.given_us = self._now_us()
        return chosen

    def _held_s(self, slot: Slot) -> float:
        """How long what a slot was handed and has not ended takes, in seconds of measured time."""
        last = next(reversed(slot.running), "")
        action = self._actions.get(last)
        return len(slot.running) * ((action and self.durations.mean(action.task)) or 0.0)

    def lacking(
        self, shape: str, capacity: int, slots: Sequence[Slot], starting: int, concurrency: int | None = None
    ) -> int:
        """How many more slots of a shape its queue is worth.

        Args:
            shape: The shape.
            capacity: Slots of it that the cluster can hold.
            slots: Those there are.
            starting: Those asked for.
            concurrency: Actions at a time in each process of a pool, where that is what slots are of.

        """
        queue = self._queues.get(shape)
        if not queue:
            return 0
        found = queue.peek()
        head = self._actions[found[0]] if found else None
        young = self._now_us() - PROBE_US
        usable = [slot for slot in slots if head is None or self._is_of_use(slot, head, young)]
        takers = sum(slot.want > 0 or slot.given_us > young for slot in usable)
        if concurrency is not None:  # there are as many as its owner wants, and they may be warm: nothing is tried out
            worth = ceil(queue.slots_worth(None) / concurrency)
            return min(worth - takers - starting, capacity - len(slots) - starting)
        worth = queue.slots_worth(PROBE_US if usable or starting else None)
        return min(worth - takers - starting, capacity - len(usable) - starting)

    def _is_of_use(self, slot: Slot, head: ActionState, young_us: int) -> bool:
        """Whether a slot works on the queue whose head this is, or will when what it runs has ended."""
        if self._is_closed(slot, head):
            return False
        if not (slot.waiting and slot.buried):
            return True
        # It has lent its CPU, and takes little: its parents' children, and what is short.
        takes = slot.want > 0 or slot.given_us > young_us
        return takes and _may_visit(slot, head, self.durations.mean(head.task), asks=head.task in self.asking)

    def has_for(self, slot: Slot) -> bool:
        """Whether what is next in a slot's queue may go to it when nothing runs there."""
        queue = self._queues.get(slot.shape)
        found = queue.peek() if queue else None
        return found is not None and not self._is_closed(slot, self._actions[found[0]])

    def _may_enter(self, slot: Slot, action: ActionState, mean: float | None) -> bool:
        """Whether a slot that runs nothing but waiting actions, or none, may have an action."""
        if self._is_closed(slot, action) or (slot.running and self._ref_of(action).runs_alone):
            return False
        asks = action.task in self.asking
        has_room = len(slot.running) <= MAX_VISITORS + slot.concurrency
        if not slot.waiting or (has_room and _may_visit(slot, action, mean, asks=asks)):
            return True
        # There may be no other slot for it.
        return self._ref_of(action).pool is not None and not asks and self._is_awaited_in(slot, action)

    def _is_awaited_in(self, slot: Slot, action: ActionState) -> bool:
        """Whether something that waits in a slot waits for an action, or for one that does."""
        above: ActionState | None = action
        while above is not None and above.parent not in slot.waiting:
            above = self._actions.get(above.parent or "")
        return above is not None

    def _may_follow(self, action: ActionState, mean: float | None) -> bool:
        """Whether an action may be sent ahead, for when what a slot has is done: only what matters nowhere."""
        return mean is not None and mean < SHORT_S and not self._ref_of(action).is_never_stacked

    def _may_be_followed(self, slot: Slot) -> bool:
        """Whether what a slot has lets anything be sent ahead."""
        first = self._actions.get(next(iter(slot.running), ""))
        return first is None or not (self._is_suspect(first) or self._ref_of(first).runs_alone)

    def _is_closed(self, slot: Slot, action: ActionState) -> bool:
        """Whether what waits in a slot, or has run in it, keeps an action out of it."""
        ref = self._ref_of(action)
        if ref.is_never_stacked and action.displaced and slot.given_us:
            return True  # perhaps it was displaced by what others had left in its process
        if slot.concurrency > 1:
            first = self._actions.get(next(iter(slot.running), ""))
            return first is not None and (self._wants_all(action) or self._wants_all(first))
        if not slot.waiting:
            return False
        if self._is_suspect(action) or ref.runs_alone or ref.is_never_stacked:
            return True
        # What runs alone was the first in its slot; above it are its descendants only.
        first = self._actions.get(next(iter(slot.running), ""))
        if first is None or self._is_suspect(first):
            return first is not None
        return self._ref_of(first).runs_alone and action.parent not in slot.running

    def _is_suspect(self, action: ActionState) -> bool:
        """Whether a slot's death must tell if it was this action: nothing else is in its slot then.

        Not where the slots of its shape keep what others need: who waits in one would wait for ever.
        """
        return action.losses > 0 and self._lends(action)

    def _wants_all(self, action: ActionState) -> bool:
        """Whether an action is to be alone where several run at a time: a death there blames nobody else."""
        return is_watched(action) and self._lends(action)

    def _lends(self, action: ActionState) -> bool:
        return lends(json.loads(self._ref_of(action).options))


def _may_visit(slot: Slot, action: ActionState, mean: float | None, *, asks: bool) -> bool:
    """Whether an action may run while others wait in the slot."""
    if not slot.buried or action.parent in slot.lone:
        return True
    if asks:
        return False
    return action.parent in slot.waiting if mean is None else mean < SHORT_S
