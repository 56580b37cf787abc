"""Take in what slots say of one run: what each item of their messages means for its actions.

Invariants: an item may come twice, late, or before the call that it follows from, and changes nothing then that is
settled; of an attempt that was replaced only a success counts, and only while no other attempt has begun.
Called with the service's lock held; `ledger/book.py` keeps what is decided here.
"""

from __future__ import annotations

import json

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.losses import ENDED, STACKED, Loss
from flyte_ray.ledger.messages import DISPLACED, REPLACED, Call, Cancel, Drop, Item, Log, Outcome, Result, Return, Step
from flyte_ray.ledger.recovery import lose_attempt
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.steps import StepBook
from flyte_ray.ledger.verdicts import abandoned, aborted
from flyte_ray.spec.phase import ActionPhase


class Intake:
    """Acts on the items of one run's slots."""

    def __init__(self, book: RunBook) -> None:
        """Act on a run's book."""
        self._book = book
        self._steps = StepBook(book.state, book.record)
        self._early: dict[str, tuple[Slot, Result]] = {}
        self._orphans: dict[str, ActionState] = {}
        """Children, called by the message at hand, that an attempt had started before it heard that it was stopped."""

    def take(self, slot: Slot, item: Item) -> None:
        """Act on one item of a slot's message."""
        if type(item) is Result:
            self._result(slot, item)
        elif type(item) is Call:
            self._call(slot, item)
        elif type(item) is Step:
            self._steps.take(slot.id, item)
        elif type(item) is Return:
            self._return(slot, item)
        elif type(item) is Drop:
            self._drop(item)
        elif type(item) is Log:
            self._log(item)

    def _call(self, slot: Slot, call: Call) -> None:
        book = self._book
        parent, known = book.state.actions.get(call.parent), book.state.actions.get(call.action)
        if parent is None or parent.slot != slot.id:
            # Of an attempt that was aborted or replaced: whoever still waits there shall end.
            body = abandoned(call.parent, out_of_time=False)
            slot.order(Outcome(call.action, kinds.ABORTED, body, on_record=False))
            if parent and call.told and known is None and parent.id in slot.running:
                self._orphans[call.action] = book.called(call)
                self._begin_told(slot, call)
            return
        if book.replays and not book.replays.admits(slot, call, known):
            return
        if known is None:
            known = book.called(call)
            taken = book.outcomes.get(call.action)
            if taken and not call.told:
                slot.awaiting.add(known.id)
                book.end(known, kinds.RECOVERED, taken.output, None, taken.source)
                return
            if call.told:
                self._begin_told(slot, call)
            self._steps.take_early(call.action)
            early = self._early.pop(call.action, None)
            if early:
                by, result = early
                book.record(kinds.STARTED, call.action, result.attempt, slot=by.id)
                slot.awaiting.add(call.action)
                # If it is the same slot, it ran the child before its parent asked for it there.
                self._result(by, result, knows=False)
                return
        elif known.phase.is_terminal:
            if known.has_succeeded or known.generation >= book.state.generation_of(call.parent):
                slot.order(Outcome(known.id, known.end_kind, known.result or "null"))
                return
            book.renew(known, call.task, call.cache)
        elif book.is_outdated(known, call.task):
            book.renew(known, call.task, call.cache)
        slot.awaiting.add(call.action)
        if known.phase is ActionPhase.QUEUED:
            book.enqueue(known)

    def _begin_told(self, slot: Slot, call: Call) -> None:
        self._book.record(kinds.STARTED, call.action, 0, slot=slot.id)
        slot.running[call.action] = 0

    def settle(self, slot: Slot) -> None:
        """Stop what an attempt had started that is stopped itself, where it has not succeeded; call after the items."""
        if not self._orphans:
            return
        book = self._book
        for action in self._orphans.values():
            parent = book.state.actions[action.parent or ""]
            if action.phase is not ActionPhase.RUNNING:
                continue
            if parent.phase is ActionPhase.ABORTED and parent.result:
                book.abort(action.id, parent.result)
            elif parent.phase.is_terminal:
                out_of_time = parent.phase is ActionPhase.TIMED_OUT
                book.abort(action.id, abandoned(parent.id, out_of_time=out_of_time))
            else:  # the next attempt of its parent calls it again
                slot.order(Cancel(action.id, REPLACED))
                book.leaving[action.id] = slot.id
                lose_attempt(book, action, Loss("the attempt that called it was stopped", ENDED), to_blame=False)
        self._orphans.clear()
        if book.end_mark is not None:
            book.close()

    def _result(self, slot: Slot, result: Result, *, knows: bool = True) -> None:
        book = self._book
        book.leave(slot, result.action, result.attempt)
        action = book.state.actions.get(result.action)
        if result.log:
            self._log(Log(result.action, result.attempt, *result.log))
        if action is None:
            # Handed out by the ledger before this one, which had not stored the call: the parent's slot repeats it.
            self._early[result.action] = slot, result._replace(log=None)
            return
        if action.phase.is_terminal or action.attempt != result.attempt:
            return
        book.dispatch.durations.add(action.task, result.seconds)
        if action.slot != slot.id and result.kind != kinds.SUCCEEDED:
            # It was lost or ran out of time, and will run again: only success counts late. Or its begin was not stored
            # when its ledger died, and its number was given again.
            return
        if result.kind == DISPLACED:
            reason = json.loads(result.body) or "it waited for a signal in the way of others"
            if lose_attempt(book, action, Loss(reason, STACKED), to_blame=False):
                book.queue_again(action)
            return
        if book.replays:
            result = book.replays.end(action, result)
        book.conclude(action, result, slot if knows else None)

    def _log(self, item: Log) -> None:
        # Also of an attempt that has ended or was replaced: it printed it all the same.
        place = f'{{"from":{item.start},"to":{item.start + len(item.text)}}}'
        self._book.record(kinds.LOGGED, item.action, item.attempt, body=item.text, context=place)

    def _drop(self, item: Drop) -> None:
        action = self._book.state.actions.get(item.action)
        if item.action in self._orphans:
            return  # why its parent was stopped is why it is stopped
        if action:
            self._book.abort(action.id, aborted(item.reason, f"action {action.parent}"))
        else:
            self._book.replays.drop(item.action)

    def _return(self, slot: Slot, item: Return) -> None:
        book = self._book
        action = book.state.actions.get(item.action)
        book.leave(slot, item.action, item.attempt)
        if action and action.slot == slot.id and action.attempt == item.attempt:
            book.record(kinds.RETURNED, action.id, item.attempt)
            book.enqueue(action)
