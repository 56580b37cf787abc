"""Decide for one run: what a call, a result, a lost slot or an abort means, and who gets which work.

Invariants: what is handed out is recorded first; an action runs in one slot at a time and succeeds once; an outcome
goes to the slot in which the parent waits for it; when a parent ends, what it left running is aborted.
Called with the service's lock held. Knows nothing of messages' transport, Ray or threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.dispatch import Dispatch
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.messages import Call, Cancel, Drop, Held, Item, Outcome, Result, Return, Step, TaskRef, Work
from flyte_ray.ledger.recorder import RunRecorder
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.steps import StepBook, steps_of
from flyte_ray.spec.ids import ROOT_ACTION
from flyte_ray.spec.phase import ActionPhase

MAX_LOSSES: Final = 3
"""Lost slots that an action may be the suspect of; the next one fails it."""
BEGIN_US: Final = 3_000_000
"""Time in which a slot that has begun attaches to a restarted ledger; the others wait for room."""
SILENT_US: Final = 60_000_000
"""Time after which a slot that holds work and does not attach is ended."""
_SUCCEEDED: Final = (ActionPhase.SUCCEEDED, ActionPhase.RECOVERED)


def failure(code: str, kind: str, message: str) -> str:
    """Write an error that did not come from the user's code in its recorded form."""
    return json.dumps({"code": code, "kind": kind, "message": message, "traceback": f"{code}: {message}\n"})


class RunBook:
    """The decisions of one run that is held open for writing."""

    def __init__(self, recorder: RunRecorder, now_us: Callable[[], int]) -> None:
        """Take over a run as its recorder has read it."""
        self.recorder = recorder
        self.state = recorder.state
        self.refs = {key: _read_ref(body) for key, body in self.state.tasks.items()}
        self.slots: dict[str, Slot] = {}
        self.starting: dict[str, str] = {}
        """Shapes of the slots that were asked for and have not attached, by id."""
        self.expected: dict[str, str] = {}
        """Shapes of the slots that live and have not attached to this ledger, by id: until they have, nothing is
        handed out."""
        self._expected_since_us = 0
        self.end_mark: int | None = None
        """Events that must be stored before the end of the run is told to anybody."""
        self.dispatch = Dispatch(self.state.actions, lambda action: self.refs[action.task].shape, now_us)
        self._now_us = now_us
        self._early: dict[str, tuple[Slot, Result]] = {}
        self._steps = StepBook(self.state, self._record)
        self._open_children: dict[str, set[str]] = {}
        for action in self.state.actions.values():
            if not action.phase.is_terminal and action.parent:
                self._open_children.setdefault(action.parent, set()).add(action.id)

    # What slots say

    def knows(self, slot: str) -> bool:
        """Whether a slot was asked for and has not ended; what another one says comes too late."""
        return slot in self.slots or slot in self.starting or slot in self.expected

    def learn(self, tasks: dict[str, TaskRef]) -> None:
        """Record tasks that a slot names for the first time."""
        for key, ref in tasks.items():
            if key not in self.refs:
                self.refs[key] = ref
                self._record(kinds.TASK, task=key, body=json.dumps(ref))

    def apply(self, slot: Slot, item: Item) -> None:
        """Act on one item of a slot's message."""
        if type(item) is Result:
            self._result(slot, item)
        elif type(item) is Call:
            self._call(slot, item)
        elif type(item) is Step:
            self._steps.take(slot.id, item)
        elif type(item) is Return:
            action = self.state.actions.get(item.action)
            slot.running.pop(item.action, None)
            if action and action.phase is ActionPhase.RUNNING and action.attempt == item.attempt:
                self._record(kinds.RETURNED, action.id, item.attempt)
                self._enqueue(action)
        elif type(item) is Drop and item.action in self.state.actions:
            self.abort(item.action, item.reason)

    def hand_in(self, slot: Slot, held: Held) -> None:
        """Take in what a slot holds that this ledger may have no record of; call before the slot's items."""
        for work in held.works:
            action = self.state.actions.get(work.action)
            if action is None:
                self._record(
                    kinds.CALLED,
                    work.action,
                    parent=work.parent,
                    task=work.task,
                    group=work.group,
                    body=work.inputs,
                    context=work.context,
                )
                action = self.state.actions[work.action]
                if work.parent:
                    self._open_children.setdefault(work.parent, set()).add(work.action)
            if action.phase is ActionPhase.QUEUED and action.attempts <= work.attempt:
                self._record(kinds.STARTED, action.id, work.attempt, slot=slot.id)
            if action.phase is ActionPhase.RUNNING and (action.slot, action.attempt) == (slot.id, work.attempt):
                slot.running[action.id] = work.attempt
            else:
                slot.order(Cancel(action.id, "another attempt has taken its place"))

    def attend(self, slot: Slot, held: Held) -> None:
        """Take in outcomes that a slot has and no segment, and what it waits for; call after the slot's items."""
        for outcome in held.outcomes:
            action = self.state.actions.get(outcome.action)
            if action and not action.phase.is_terminal:
                self._end(action, outcome.kind, outcome.body, slot)
        for name in held.awaiting:
            action = self.state.actions.get(name)
            if action is None:
                continue  # its call is among the items that the slot sends again
            if action.phase.is_terminal:
                slot.order(Outcome(name, _kind_of(action), action.result or "null"))
            else:
                slot.awaiting.add(name)
                if action.phase is ActionPhase.QUEUED:
                    self._enqueue(action)

    def reconcile(self, slot: Slot) -> None:
        """Queue again what is on record as running in a slot that has attached and does not hold it."""
        for action in list(self.state.actions.values()):
            if action.slot == slot.id and action.id not in slot.running:
                # Its order was lost with the ledger that sent it.
                self._record(kinds.RETURNED, action.id, action.attempt)
                if action.id == ROOT_ACTION or self._holder(action):
                    self._enqueue(action)

    def _call(self, slot: Slot, call: Call) -> None:
        parent = self.state.actions.get(call.parent)
        if parent is None or parent.slot != slot.id:
            # Of an attempt that was aborted or replaced: whoever still waits there shall end.
            slot.order(Outcome(call.action, kinds.ABORTED, failure("ActionAbortedError", "user", "its parent ended")))
            return
        known = self.state.actions.get(call.action)
        if known is None:
            self._record(
                kinds.CALLED,
                call.action,
                parent=call.parent,
                task=call.task,
                group=call.group,
                body=call.inputs,
                context=call.context,
            )
            known = self.state.actions[call.action]
            self._open_children.setdefault(call.parent, set()).add(call.action)
            if call.told:
                self._record(kinds.STARTED, call.action, 0, slot=slot.id)
                slot.running[call.action] = 0
            self._steps.take_early(call.action)
            early = self._early.pop(call.action, None)
            if early:
                by, result = early
                self._record(kinds.STARTED, call.action, result.attempt, slot=by.id)
                slot.awaiting.add(call.action)
                self._result(by, result)
                return
        elif known.phase.is_terminal:
            renewed = known.phase not in _SUCCEEDED and known.generation < self.state.generation_of(call.parent)
            if not renewed:
                slot.order(Outcome(known.id, _kind_of(known), known.result or "null"))
                return
            self._record(kinds.RENEWED, known.id)
            self._open_children.setdefault(call.parent, set()).add(call.action)
        slot.awaiting.add(call.action)
        if known.phase is ActionPhase.QUEUED:
            self._enqueue(known)

    def _result(self, slot: Slot, result: Result) -> None:
        if slot.running.get(result.action) == result.attempt:
            del slot.running[result.action]
        action = self.state.actions.get(result.action)
        if action is None:
            # Handed out by the ledger before this one, which had not stored the call: the parent's slot repeats it.
            self._early[result.action] = slot, result
            return
        if action.phase.is_terminal or action.attempt != result.attempt:
            return
        self.dispatch.durations.add(action.task, result.seconds)
        if result.log:
            self._record(kinds.LOGGED, action.id, result.attempt, body=result.log)
        if action.phase is ActionPhase.QUEUED and result.kind != kinds.SUCCEEDED:
            return  # it was lost and will run again: only success counts late
        ref = self.refs[action.task]
        if result.kind == kinds.FAILED and result.retry and action.failures < ref.retries:
            self._record(kinds.RETRIED, action.id, result.attempt, body=result.body)
            self._enqueue(action, ref.delay_s(action.failures - 1))
        else:
            self._end(action, result.kind, result.body, slot)

    # What happens to actions

    def start(self, ref: TaskRef, inputs: str, context: str | None) -> None:
        """Call the root action of a new run."""
        self.learn({ref.key: ref})
        self._record(kinds.CALLED, ROOT_ACTION, task=ref.key, body=inputs, context=context)
        self._enqueue(self.state.root)

    def recover(self, alive: Mapping[str, str], *, resumed: bool) -> None:
        """Queue again what was cut off.

        Args:
            alive: Shapes of the run's slots that live, by id: they attach, or have not begun yet.
            resumed: A person continues the run: failures are tried again, that of the root too.

        """
        if resumed:
            self._record(kinds.RESUMED)
            if self.state.root.phase.is_terminal and self.state.root.phase not in _SUCCEEDED:
                self._record(kinds.RENEWED, ROOT_ACTION)
        self.expected = dict(alive)
        self._expected_since_us = self._now_us()
        for action in self.state.actions.values():
            if action.phase is ActionPhase.RUNNING and action.slot not in alive:
                self._record(kinds.LOST, action.id, action.attempt, body='"its process ended"')
        root = self.state.root
        if root.phase is ActionPhase.QUEUED:
            # Its descendants are queued when they are called again.
            self._enqueue(root)
        elif root.phase.is_terminal:
            self._close()

    def lose(self, slot: Slot, reason: str) -> None:
        """Queue again what a dead slot ran; fail what has killed too many."""
        self.slots.pop(slot.id, None)
        self.starting.pop(slot.id, None)
        running = dict(slot.running)
        if self.expected.pop(slot.id, None) is not None:
            # It has not attached since this ledger started: what it ran is known from the log alone.
            held = (action for action in self.state.actions.values() if action.slot == slot.id)
            running = {action.id: action.attempt for action in held}
        for name, attempt in running.items():
            action = self.state.actions[name]
            if action.phase is not ActionPhase.RUNNING or action.attempt != attempt:
                continue
            self._record(kinds.LOST, name, attempt, body=json.dumps(reason))
            if action.losses > MAX_LOSSES and name not in slot.waiting:
                message = f"{action.losses} slots were lost while they ran this action; the last one: {reason}"
                self._end(action, kinds.FAILED, failure("SlotLostError", "system", message), slot)
            elif name == ROOT_ACTION or self._holder(action):
                self._enqueue(action)

    def abort(self, name: str, reason: str) -> None:
        """End an action and all below it as aborted."""
        action = self.state.actions[name]
        if action.phase.is_terminal:
            return
        holder = self.slots.get(action.slot or "")
        if holder:
            holder.order(Cancel(name, reason))
        self._end(action, kinds.ABORTED, failure("ActionAbortedError", "user", reason), None)

    def fail_queued(self, shape: str, body: str) -> None:
        """End every action that waits for a slot of a shape, because none can ever be had."""
        for name in self.dispatch.queued_of(shape):
            if not self.state.actions[name].phase.is_terminal:
                self._end(self.state.actions[name], kinds.FAILED, body, None)

    def _end(self, action: ActionState, kind: str, body: str, by: Slot | None) -> None:
        self._record(kind, action.id, action.attempt, body=body)
        self._abandon_children(action.id, "its parent ended")
        if action.id == ROOT_ACTION:
            self._close()
            return
        self._open_children.get(action.parent or "", set()).discard(action.id)
        holder = self._holder(action)
        if holder:
            holder.awaiting.discard(action.id)
            # A slot knows the success of a child that it ran itself.
            if holder is not by or kind != kinds.SUCCEEDED:
                holder.order(Outcome(action.id, kind, body))

    def _abandon_children(self, parent: str, reason: str) -> None:
        for child in self._open_children.pop(parent, ()):
            self.abort(child, reason)

    def _close(self) -> None:
        self.end_mark = self.recorder.recorded
        self.recorder.hurry()

    def _holder(self, action: ActionState) -> Slot | None:
        """The slot in which the parent waits for this action."""
        parent = self.state.actions.get(action.parent or "")
        slot = self.slots.get(parent.slot or "") if parent else None
        return slot if slot and action.id in slot.awaiting else None

    # Who gets which work

    def replace_tasks(self, tasks: dict[str, TaskRef]) -> None:
        """Run recorded tasks as they are declared today; `tasks` by name."""
        for key, ref in self.refs.items():
            today = tasks.get(ref.name)
            if today and today != ref:
                self.refs[key] = today
                self._record(kinds.TASK, task=key, body=json.dumps(today))

    def options_of(self, shape: str) -> str:
        """The Ray options of a shape, as JSON."""
        return next(ref.options for ref in self.refs.values() if ref.shape == shape)

    def silent(self) -> list[str]:
        """Stop to expect slots that have not attached in time; return those that hold work and must be ended."""
        waited_us = self._now_us() - self._expected_since_us
        holding = {action.slot for action in self.state.actions.values() if action.slot in self.expected}
        if waited_us > BEGIN_US:
            # They hold nothing that is on record: they have not begun, because Ray has no room for them yet.
            for name in [name for name in self.expected if name not in holding]:
                self.starting[name] = self.expected.pop(name)
        return list(self.expected) if waited_us > SILENT_US else []

    def hand_out(self, slot: Slot) -> None:
        """Order as much work as the slot wants and should have."""
        if slot.want <= 0 or self._is_halted:
            return
        takers = sum(other.shape == slot.shape for other in self.slots.values()) + len(self.starting)
        chosen = self.dispatch.choose(slot, takers)
        for action in chosen:
            self._give(slot, action)
        if chosen:
            slot.want = 0

    def slots_lacking(self, shape: str, capacity: int) -> int:
        """How many more slots the queue of a shape is worth, of the `capacity` that the cluster can hold."""
        if self._is_halted:
            return 0
        slots = [slot for slot in self.slots.values() if slot.shape == shape]
        starting = sum(asked == shape for asked in self.starting.values())
        return self.dispatch.lacking(shape, capacity, slots, starting)

    @property
    def _is_halted(self) -> bool:
        return bool(self.expected) or self.end_mark is not None

    def _enqueue(self, action: ActionState, delay_s: float = 0.0) -> None:
        if self.end_mark is None:
            self.dispatch.enqueue(action, delay_s)

    def _give(self, slot: Slot, action: ActionState) -> None:
        attempt = action.attempts
        self._record(kinds.STARTED, action.id, attempt, slot=slot.id)
        slot.running[action.id] = attempt
        replay = attempt > 0 or action.rounds > 0
        work = (action.id, action.parent, attempt, action.task, action.inputs, action.group, action.context)
        slot.order(Work(*work, replay, steps_of(action) if replay else ()))

    def _record(
        self,
        kind: str,
        action: str = "",
        attempt: int = 0,
        parent: str | None = None,
        task: str | None = None,
        group: str | None = None,
        slot: str | None = None,
        body: str | None = None,
        context: str | None = None,
    ) -> None:
        self.recorder.record(Event(kind, self._now_us(), action, attempt, parent, task, group, slot, body, context))


def _kind_of(action: ActionState) -> str:
    return kinds.SUCCEEDED if action.phase in _SUCCEEDED else action.phase.name


def _read_ref(body: str) -> TaskRef:
    ref = TaskRef(*json.loads(body))
    if ref.backoff is None:
        return ref
    base, factor, cap = ref.backoff
    return ref._replace(backoff=(base, factor, cap))
