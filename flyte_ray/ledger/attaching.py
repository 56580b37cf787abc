"""Have a slot attach to a ledger that has restarted: what it holds, and what it waits for.

The log may lack both, because the ledger before this one ended before it stored them.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.losses import UNSEEN
from flyte_ray.ledger.messages import REPLACED, Call, Cancel, Held, Item, Outcome, Result, Return, Step, Work
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.verdicts import UNSEEN_END, aborted, lost
from flyte_ray.spec.phase import ActionPhase


def hand_in(book: RunBook, slot: Slot, held: Held) -> list[Work]:
    """Take in what a slot holds that this ledger may have no record of; call before the slot's items.

    Returns:
        Attempts beyond those on record, which end in the items: to be taken in by `hold` after these.

    """
    later: list[Work] = []
    for work in held.works:
        action = book.state.actions.get(work.action)
        if action is None:
            action = book.called(work, slot.id)
        if action.phase is ActionPhase.RUNNING and action.slot == slot.id and action.attempt < work.attempt:
            later.append(work)
        else:
            hold(book, slot, held, work)
    return later


def attempts_of(held: Held, items: Sequence[Item]) -> list[int]:
    """Say of each item which attempt it is of, a call of its parent's; -1 where the slot does not tell."""
    latest = {work.action: work.attempt for work in held.works}
    found: list[int] = []
    for item in reversed(items):  # of what a slot does not hold any more, the end says which attempt it was
        if isinstance(item, (Result, Return, Step)):
            latest[item.action] = item.attempt
            found.append(item.attempt)
        else:
            found.append(latest.get(item.parent, -1) if type(item) is Call else -1)
    return found[::-1]


def catch_up(book: RunBook, slot: Slot, item: Item, attempt: int) -> None:
    """Put the attempt on record that an item is of, if its begin died with the ledger before; call before the item.

    The attempt before it had ended then, and how is known to another slot, if to any: that is not waited for.
    """
    if type(item) is Call:
        parent = book.state.actions.get(item.parent)
        waits = parent and parent.phase is ActionPhase.QUEUED and parent.id not in book.leaving
        # If the attempt is older, it was replaced, and what it called is called by the next one.
        if parent and waits and attempt >= parent.attempts:
            _begin(book, slot, parent, attempt)
    elif isinstance(item, (Result, Return, Step)):
        action = book.state.actions.get(item.action)
        if action and not action.phase.is_terminal and attempt >= action.attempts:
            _begin(book, slot, action, attempt)


def _begin(book: RunBook, slot: Slot, action: ActionState, attempt: int) -> None:
    if action.phase is ActionPhase.RUNNING:
        body = lost("how it ended was not stored", UNSEEN, to_blame=False, ready_us=0)
        book.record(kinds.LOST, action.id, action.attempt, body=body)
    book.record(kinds.STARTED, action.id, attempt, slot=slot.id)
    slot.running[action.id] = attempt


def hold(book: RunBook, slot: Slot, held: Held, work: Work) -> None:
    """Take in one attempt that a slot holds; one that another has replaced is cancelled there."""
    action = book.state.actions[work.action]
    if not action.phase.is_terminal and action.attempts <= work.attempt:
        _begin(book, slot, action, work.attempt)
    if action.phase is ActionPhase.RUNNING and (action.slot, action.attempt) == (slot.id, work.attempt):
        slot.running[action.id] = work.attempt
        book.limits.watch(action)
        book.limits.begun(action.id)
        if work.replay:
            book.replays.begin(action, held.called)
    else:
        if action.slot != slot.id:
            slot.running[action.id] = work.attempt
            book.leaving[action.id] = slot.id
        slot.order(Cancel(action.id, REPLACED))


def attend(book: RunBook, slot: Slot, held: Held) -> None:
    """Take in what a slot waits for, and what it has heard; call after the slot's items."""
    book.hearsay.update((outcome.action, outcome) for outcome in held.outcomes)
    for name in held.awaiting:
        action = book.state.actions.get(name)
        if action is None:
            continue  # its call is among the items that the slot sends again
        if action.phase.is_terminal:
            slot.order(Outcome(name, action.end_kind, action.result or "null"))
        else:
            slot.awaiting.add(name)
            if action.phase is ActionPhase.QUEUED:
                book.enqueue(action)


def reconcile(book: RunBook, slot: Slot) -> None:
    """Queue again what is on record as running in a slot that has attached and does not hold it."""
    for action in list(book.state.actions.values()):
        if action.slot == slot.id and action.id not in slot.running:
            # Its order was lost with the ledger that sent it.
            book.record(kinds.RETURNED, action.id, action.attempt)
            book.queue_again(action)


def stop_expecting(book: RunBook, slot: str) -> None:
    """Take note that a slot has handed in all it holds, or is given up; after the last one, of what nobody has told."""
    if book.expected.keys() == {slot}:
        for name in list(book.hearsay):
            book.believe(name)
    book.expected.pop(slot, None)
    if book.expected or not book.forsaken:
        return
    forsaken, book.forsaken = book.forsaken, {}
    for parent, out_of_time in forsaken.items():
        if not book.state.actions[parent].phase.is_terminal:
            continue
        for child in list(book.open_children.get(parent, ())):
            if book.state.actions[child].phase is ActionPhase.QUEUED and not out_of_time:
                book.abort(child, aborted(UNSEEN_END, f"action {parent}"))
        book.abandon_children(parent, None, out_of_time=out_of_time)
    if book.end_mark is not None:
        book.close()
