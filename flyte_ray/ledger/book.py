"""Keep the book of one run: how its actions are called, handed out and ended, and whom that concerns.

Invariants: what is handed out is recorded first; an action runs in one slot at a time and succeeds once; an outcome
goes to the slot in which the parent waits for it; when a parent ends, what it left running is aborted.
What slots say is taken in by `ledger/intake.py`, what was cut off is continued by `ledger/recovery.py`.
Called with the service's lock held. Knows nothing of messages' transport, Ray or threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.cache import Kept, RunCache
from flyte_ray.ledger.conditions import Decision, RunConditions
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.dispatch import Dispatch
from flyte_ray.ledger.events import new_event
from flyte_ray.ledger.limits import TimeLimits
from flyte_ray.ledger.losses import is_watched
from flyte_ray.ledger.memory import grown
from flyte_ray.ledger.messages import Call, Cancel, Outcome, Result, TaskRef, Work, read_ref
from flyte_ray.ledger.places import free_places
from flyte_ray.ledger.recorder import RunRecorder
from flyte_ray.ledger.replay import Replays
from flyte_ray.ledger.requests import FREE, Terms
from flyte_ray.ledger.retrying import after_failure, outcome
from flyte_ray.ledger.shapes import HeldBack, Shapes
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.steps import steps_of
from flyte_ray.ledger.verdicts import abandoned
from flyte_ray.spec.ids import ROOT_ACTION
from flyte_ray.spec.phase import ActionPhase

LAST_WORDS_S: Final = 1.0
"""How long the end of a run waits for slots that have not heard of it: one whose code holds Python's lock cannot."""


class RunBook:
    """The decisions of one run that is held open for writing."""

    def __init__(
        self,
        recorder: RunRecorder,
        now_us: Callable[[], int],
        place: str,
        terms: Terms = FREE,
        places: Callable[[Slot], int] = free_places,
    ) -> None:
        """Take over a run as its recorder has read it."""
        self.recorder = recorder
        self.state = recorder.state
        self.refs = {key: read_ref(body) for key, body in self.state.tasks.items()}
        self.shapes = Shapes(self.refs.values())
        self.terms = terms
        self.slots: dict[str, Slot] = {}
        self.starting: dict[str, str] = {}
        """Shapes of the slots that were asked for and have not attached, by id."""
        self.concedes: dict[str, int] = {}
        """How many slots of a shape give way to other queues, by shape; see `ledger/sharing.py`."""
        self.held_back: dict[str, HeldBack] = {}
        """Shapes that have no more slots because of limits; see `ledger/admission.py`."""
        self.places = places
        """How many more actions may begin in a slot that runs several at a time."""
        self.waiting_for_store: dict[str, str] = {}
        """Why the store does not answer slots that have not attached yet, by id."""
        self.expected: dict[str, str] = {}
        """Shapes of the slots that live and have not attached to this ledger, by id: until they have, nothing is
        handed out."""
        self.expected_since_us = 0
        self.hearsay: dict[str, Outcome] = {}
        """What slots were told of how actions ended, and no segment holds, by action: until all slots have attached,
        one that ran the action may tell it itself, and how those below it ended."""
        self.forsaken: dict[str, bool] = {}
        """Parents that have ended meanwhile, and whether their time was over: what they left is ended then, too."""
        self.end_mark: int | None = None
        """Events that must be stored before the end of the run is told to anybody."""
        self._ended_us = 0
        self.dispatch = Dispatch(self.state.actions, self._ref_of, now_us)
        self.limits = TimeLimits(self.state, self._ref_of, now_us)
        self.cache = RunCache(place, terms.key)
        self.outcomes: Mapping[str, Kept] = {}
        """Outcomes of an earlier run that calls of the same actions are answered with, by action."""
        self.conditions = RunConditions()
        self.replays = Replays(self.state, self.record, self._ref_of, now_us, strict=terms.strict_replay)
        self.now_us = now_us
        self.open_children: dict[str, set[str]] = {}
        """Children that have not ended, by parent."""
        self.leaving: dict[str, str] = {}
        """Slots in which an attempt is stopped whose action is queued again, by action: until it has left, no other
        attempt begins."""
        for action in self.state.actions.values():
            if not action.phase.is_terminal and action.parent:
                self.open_children.setdefault(action.parent, set()).add(action.id)
            if self.refs[action.task].is_condition:
                self.dispatch.asking.add(self.state.actions[action.parent or ROOT_ACTION].task)
            if action.phase is ActionPhase.PAUSED:
                self.conditions.add(action, 0)

    def _ref_of(self, action: ActionState) -> TaskRef:
        ref = self.refs[action.task]
        return grown(ref, action.growths) if action.growths else ref

    def knows(self, slot: str) -> bool:
        """Whether a slot was asked for and has not ended; what another one says comes too late."""
        return slot in self.slots or slot in self.starting or slot in self.expected

    @property
    def known_slots(self) -> set[str]:
        """All of those."""
        return {*self.slots, *self.starting, *self.expected}

    def learn(self, tasks: dict[str, TaskRef]) -> None:
        """Record tasks that a slot names for the first time."""
        for key, ref in tasks.items():
            if key not in self.refs:
                self.refs[key] = ref
                self.shapes.add(ref)
                self.record(kinds.TASK, task=key, body=json.dumps(ref))

    def called(self, call: Call | Work, ran_in: str | None = None) -> ActionState:
        """Put a call on record; `ran_in` names the slot that ran it already, where the call itself was lost."""
        self.record(
            kinds.CALLED,
            call.action,
            parent=call.parent,
            task=call.task,
            group=call.group,
            body=call.inputs,
            context=call.context,
            cache=call.cache if type(call) is Call else None,
            slot=ran_in,
        )
        if call.parent:
            self.open_children.setdefault(call.parent, set()).add(call.action)
        action = self.state.actions[call.action]
        self.replays.called(action)
        return action

    def renew(self, action: ActionState, task: str, cache: str | None) -> None:
        """Have an action run again when it is called, with a new budget, as a task and with its use of the cache."""
        self.replays.revoke(action)
        changed = task if task != action.task else None
        self.record(kinds.RENEWED, action.id, task=changed, cache=cache or "" if cache != action.cache else None)
        if action.parent:
            self.open_children.setdefault(action.parent, set()).add(action.id)

    def expect(self, alive: Mapping[str, str]) -> None:
        """Hand nothing out until these slots have attached, given by their shapes."""
        self.expected, self.expected_since_us = dict(alive), self.now_us()

    def believe(self, name: str) -> bool:
        """End an action as a slot had heard that it ended; False if none has, or it has ended."""
        told = self.hearsay.pop(name, None)
        action = self.state.actions.get(name)
        if told is None or action is None or action.phase.is_terminal:
            return False
        self.end(action, told.kind, told.body, None)
        return True

    def answer(self, name: str, kept: Kept | None) -> bool:
        """Take the cache's answer to an action; False if it does not wait for it any more."""
        self.cache.open.discard(name)
        action = self.state.actions.get(name)
        if action is None or action.phase is not ActionPhase.QUEUED or self.end_mark is not None:
            return False
        if kept is None:
            self.enqueue(action)
        else:
            self.end(action, kinds.SUCCEEDED, kept.output, None, kept.source)
        return True

    def settle(self, decision: Decision) -> None:
        """End a condition as the store has decided, if it still waits for that."""
        action = self.state.actions[decision.action]
        if action.phase is ActionPhase.PAUSED and action.rounds == decision.rounds:
            self.end(action, decision.kind, decision.body, None)

    # What happens to actions

    def start(self, ref: TaskRef, inputs: str, context: str | None, cache: str | None) -> None:
        """Call the root action of a new run."""
        self.learn({ref.key: ref})
        self.record(kinds.CALLED, ROOT_ACTION, task=ref.key, body=inputs, context=context, cache=cache)
        self.enqueue(self.state.root)

    def abort(self, name: str, body: str) -> None:
        """End an action and all below it as aborted; `body` says why and by whom, see `verdicts.aborted`."""
        action = self.state.actions[name]
        if action.phase.is_terminal or self.believe(name):
            return
        holder = self.slots.get(action.slot or "")
        if holder:
            holder.order(Cancel(name, json.loads(body)["message"]))
        self.end(action, kinds.ABORTED, body, None)

    def enforce(self) -> None:
        """Stop what has exceeded a time limit; call at every tick."""
        if self.expected:
            return  # who runs what is known when all slots have attached
        for action, body, again in self.limits.exceeded():
            if action.phase is ActionPhase.PAUSED:
                self.conditions.expire(action.id, body)
                continue
            holder = self.slots.get(action.slot or "")
            if holder:
                holder.order(Cancel(action.id, json.loads(body)["message"]))
                self.leaving[action.id] = holder.id
            ref = self.refs[action.task]
            kind, error = after_failure(ref, action, body, may_retry=again, now_us=self.now_us())
            if kind != kinds.RETRIED:
                self.end(action, kinds.TIMED_OUT, body, None)
                continue
            self.record(kind, action.id, action.attempt, body=error)
            self.abandon_children(action.id, None, out_of_time=True)
            self.queue_again(action)

    def fail_queued(self, shape: str, body: str) -> None:
        """End every action that waits for a slot of a shape, because none can ever be had."""
        for name in self.dispatch.queued_of(shape):
            if not self.state.actions[name].phase.is_terminal:
                self.end(self.state.actions[name], kinds.FAILED, body, None)

    def conclude(self, action: ActionState, result: Result, by: Slot | None) -> None:
        """Record how an attempt ended: another one follows, or it is the action's end."""
        kind, body = result.kind, result.body
        if kind != kinds.SUCCEEDED:
            kind, body = outcome(self.refs[action.task], action, result, self.now_us())
        if kind == kinds.RETRIED:
            self.record(kind, action.id, result.attempt, body=body)
            self.enqueue(action)
        else:
            self.end(action, kind, body, by)

    def end(self, action: ActionState, kind: str, body: str, by: Slot | None, source: str | None = None) -> None:
        """Record how an action ends and tell whom it concerns; `source` names who made a kept outcome."""
        self.record(kind, action.id, action.attempt, body=body, cache=source)
        self.cache.ended(action, succeeded=kind == kinds.SUCCEEDED, mark=self.recorder.recorded)
        self.conditions.discard(action.id)
        # An abort is recorded with its reason in the whole tree.
        reason = body if kind == kinds.ABORTED else None
        self.abandon_children(action.id, reason, out_of_time=kind == kinds.TIMED_OUT)
        if action.id == ROOT_ACTION:
            self.close()
            return
        self.open_children.get(action.parent or "", set()).discard(action.id)
        holder = self._holder(action)
        if holder:
            holder.awaiting.discard(action.id)
            # A slot knows the success of a child that it ran itself.
            if holder is not by or kind != kinds.SUCCEEDED:
                holder.order(Outcome(action.id, action.end_kind, body))

    def abandon_children(self, parent: str, reason: str | None, *, out_of_time: bool) -> None:
        """End as aborted what an action that has ended left running; later, if who ran it has not attached yet."""
        if self.expected and reason is None:
            self.forsaken[parent] = out_of_time
            return
        children = self.open_children.pop(parent, None)
        if children:
            body = reason or abandoned(parent, out_of_time=out_of_time)
            for child in children:
                self.abort(child, body)

    def close(self) -> None:
        """Take note that the run has ended: that is told when what is recorded now is stored."""
        self.end_mark = self.recorder.recorded
        self._ended_us = self._ended_us or self.now_us()
        self.recorder.hurry()

    def is_over(self, stored: int) -> bool:
        """Whether the run's end may be told, by the number of stored events.

        Slots that were told to stop something have a moment for their last words: what they had ended or begun by
        themselves when they heard it.
        """
        if self.end_mark is None or stored < self.end_mark:
            return False
        if self.expected:
            return False
        return self.is_late or not any(slot.running and not slot.is_caught_up for slot in self.slots.values())

    @property
    def is_late(self) -> bool:
        """Whether the run has ended, and last words were waited for long enough."""
        return self.end_mark is not None and self.now_us() - self._ended_us > LAST_WORDS_S * 1e6

    def _holder(self, action: ActionState) -> Slot | None:
        """The slot in which the parent waits for this action."""
        parent = self.state.actions.get(action.parent or "")
        slot = self.slots.get(parent.slot or "") if parent else None
        return slot if slot and action.id in slot.awaiting else None

    # Who gets which work

    def is_outdated(self, action: ActionState, task: str) -> bool:
        """Whether an action that waits to be called is called as another task than it is on record with."""
        return (
            task != action.task
            and action.phase is ActionPhase.QUEUED
            and not self.dispatch.holds(action.id)
            and not self.refs[task].means(self.refs[action.task])
        )

    def hand_out(self, slot: Slot, most: int) -> int:
        """Order as much work as the slot wants and should have, now or ahead, but not more; returns how much."""
        if slot.doomed or self._is_halted or self._gives_way(slot) or not most:
            return 0
        takers = sum(other.shape == slot.shape for other in self.slots.values()) + len(self.starting)
        places = min(self.places(slot), most) if slot.concurrency > 1 else 1
        chosen = self.dispatch.choose(slot, takers, places, most)
        for action in chosen:
            self._give(slot, action)
        if chosen:
            slot.want = slot.ahead = 0
        return len(chosen)

    def slots_lacking(self, shape: str, capacity: int) -> int:
        """How many more slots the queue of a shape is worth, of the `capacity` that the cluster can hold."""
        if self._is_halted:
            return 0
        slots = [slot for slot in self.slots.values() if slot.shape == shape]
        starting = sum(asked == shape for asked in self.starting.values())
        pool = self.shapes.pool_of(shape)
        return self.dispatch.lacking(shape, capacity, slots, starting, pool.concurrency if pool else None)

    def _gives_way(self, slot: Slot) -> bool:
        if not slot.want:
            return slot.gives_way or bool(self.concedes.get(slot.shape))  # nothing ahead where others are to have slots
        if not slot.gives_way and not slot.running and self.concedes.get(slot.shape):
            self.concedes[slot.shape] -= 1
            slot.gives_way = True
            self.recorder.hurry()  # it ends when what it told is stored
        return slot.gives_way

    @property
    def _is_halted(self) -> bool:
        return bool(self.expected) or self.end_mark is not None or self.recorder.is_full

    def enqueue(self, action: ActionState) -> None:
        """Queue an action, unless something must end or be asked first; a condition begins to wait."""
        if self.refs[action.task].is_condition:
            self._pause(action)
            return
        if self.end_mark is None and self.leaving.get(action.id) not in self.slots:
            self.limits.watch(action)
            if action.cache is None or not self.cache.asks(action):
                self.dispatch.enqueue(action)

    def _pause(self, action: ActionState) -> None:
        self.record(kinds.PAUSED, action.id)
        self.conditions.add(action, self.recorder.recorded)
        self.dispatch.asking.add(self.state.actions[action.parent or ROOT_ACTION].task)
        self.limits.watch(action)
        self.recorder.hurry()  # a person is to be asked, and only of what is stored

    def queue_again(self, action: ActionState) -> None:
        """Queue an action if somebody waits for it; else it is queued when it is called again."""
        if action.id == ROOT_ACTION or self._holder(action):
            self.enqueue(action)

    def leave(self, slot: Slot, name: str, attempt: int) -> None:
        """Take note that an attempt is in its slot no more; the next one may begin if it waited for that."""
        if slot.running.get(name) == attempt:
            del slot.running[name]
        if self.leaving.get(name) == slot.id:
            del self.leaving[name]
            if self.state.actions[name].phase is ActionPhase.QUEUED:
                self.queue_again(self.state.actions[name])

    def _give(self, slot: Slot, action: ActionState) -> None:
        attempt = action.attempts
        self.record(kinds.STARTED, action.id, attempt, slot=slot.id)
        slot.running[action.id] = attempt
        self.limits.watch(action)
        # A step may be on record of an attempt that no ledger knows any more.
        replay = attempt > 0 or action.rounds > 0 or bool(action.steps)
        work = (action.id, action.parent, attempt, action.task, action.inputs, action.group, action.context)
        slot.order(Work(*work, replay, steps_of(action) if replay else (), is_watched(action)))
        if replay:
            self.replays.begin(action)

    def record(self, kind: str, action: str = "", attempt: int = 0, **columns: str | None) -> None:
        """Put an event on record."""
        self.recorder.record(new_event(kind, self.now_us(), action, attempt, **columns))
