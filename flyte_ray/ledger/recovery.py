"""Continue what was cut off: by the end of a slot, of a ledger, or of the whole cluster.

Invariants: nothing is handed out until every slot that lives has attached, or is known to hold nothing; an action that
its slot took down may be the suspect, and is given up after `MAX_LOSSES`; descendants are queued when they are called.
Called with the service's lock held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.roll_call import missing
from flyte_ray.ledger.verdicts import failure, lost
from flyte_ray.spec.phase import ActionPhase

MAX_LOSSES: Final = 3
"""Lost slots that an action may be the suspect of; the next one fails it."""


def recover(book: RunBook, alive: Mapping[str, str], *, resumed: bool) -> None:
    """Queue again what was cut off with the ledger before this one.

    Args:
        book: The run, just opened.
        alive: Shapes of the run's slots that live, by id: they attach, or have not begun yet.
        resumed: A person continues the run: failures are tried again, that of the root too.

    """
    if resumed:
        book.record(kinds.RESUMED)
        if book.state.root.phase.is_terminal and not book.state.root.has_succeeded:
            book.renew(book.state.root)
    book.expect(alive)
    for action in book.state.actions.values():
        if action.phase is ActionPhase.RUNNING and action.slot not in alive:
            book.record(kinds.LOST, action.id, action.attempt, body='"its process ended"')
    root = book.state.root
    if root.phase is ActionPhase.QUEUED:
        # Its descendants are queued when they are called again.
        book.enqueue(root)
    elif root.phase.is_terminal:
        book.close()


def lose(book: RunBook, slot: Slot, reason: str, *, to_blame: bool = True) -> None:
    """Queue again what a dead slot ran; fail what has killed too many, where that is `to_blame`."""
    book.slots.pop(slot.id, None)
    book.starting.pop(slot.id, None)
    running = dict(slot.running)
    if book.expected.pop(slot.id, None) is not None:
        # It has not attached since this ledger started: what it ran is known from the log alone.
        running = {each.id: each.attempt for each in book.state.actions.values() if each.slot == slot.id}
    for name, attempt in running.items():
        action = book.state.actions[name]
        book.leave(slot, name, attempt)
        if action.phase is not ActionPhase.RUNNING or action.attempt != attempt:
            continue
        book.record(kinds.LOST, name, attempt, body=lost(reason, to_blame=to_blame and not slot.doomed))
        if action.losses > MAX_LOSSES and name not in slot.waiting:
            message = f"{action.losses} slots were lost while they ran this action; the last one: {reason}"
            book.end(action, kinds.FAILED, failure("SlotLostError", "system", message), slot)
        else:
            book.queue_again(action)


def silent(book: RunBook) -> list[str]:
    """Stop to expect slots that have not attached in time; return those that hold work and must be ended."""
    waited_us = book.now_us() - book.expected_since_us
    unbegun, late = missing(book.expected, book.state.actions.values(), waited_us)
    for name in unbegun:
        book.starting[name] = book.expected.pop(name)
    return late
