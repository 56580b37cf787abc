"""Continue what was cut off: by the end of a slot, of a ledger, or of the whole cluster.

Invariants: nothing is handed out until every slot that lives has attached, or is known to hold nothing; what was lost
is queued again, or given up where that came too often (`ledger/losses.py`), descendants when they are called again.
Called with the service's lock held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.attaching import stop_expecting
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.losses import CRASHED, MEMORY, UNSEEN, Loss, delay_s, exceeded, suspect
from flyte_ray.ledger.memory import shortage
from flyte_ray.ledger.messages import OUT_OF_MEMORY, Result
from flyte_ray.ledger.revision import Revision, judge
from flyte_ray.ledger.roll_call import missing
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.verdicts import failure, lost
from flyte_ray.spec.phase import ActionPhase


def recover(
    book: RunBook,
    alive: Mapping[str, str],
    *,
    resumed: bool,
    revision: Revision | None = None,
    gone: Collection[str] = (),
) -> None:
    """Queue again what was cut off with the ledger before this one.

    Args:
        book: The run, just opened.
        alive: Shapes of the run's slots that live, by id: they attach, or have not begun yet.
        resumed: A person continues the run: failures are tried again, that of the root too.
        revision: The code with which that person continues it, if that has changed.
        gone: Actions that have succeeded and whose values are not in the store any more: they run again if they are
            called.

    """
    root = book.state.root
    if resumed:
        book.record(kinds.RESUMED, body=revision.dump() if revision else None)
    book.expect(alive)
    for action in book.state.actions.values():
        if action.phase is ActionPhase.RUNNING and action.slot not in alive:
            lose_attempt(
                book, action, Loss("its process ended while no ledger was there to see it", UNSEEN), to_blame=False
            )
    book.limits.take_up()
    # The root last: of a crash in between comes a run that ends as it did before, and can be continued again.
    for action in [book.state.actions[name] for name in gone if name != root.id]:
        book.renew(action, action.task, action.cache)
    if revision:
        _revise(book, revision, root_is_gone=root.id in gone)
    elif root.id in gone or (resumed and root.phase.is_terminal and not root.has_succeeded):
        book.renew(root, root.task, root.cache)
    if root.phase is ActionPhase.QUEUED:
        # Its descendants are queued when they are called again.
        book.enqueue(root)
    elif root.phase.is_terminal:
        book.close()


def _revise(book: RunBook, revision: Revision, *, root_is_gone: bool) -> None:
    book.learn({revision.root.key: revision.root})
    root = book.state.root
    again = {name for name, why in judge(book.state, revision.changes).items() if why is not None}
    for action in [each for each in book.state.actions.values() if each.has_succeeded and each is not root]:
        if action.id in again:
            book.renew(action, action.task, None)  # the call that it waits for says what it is now
    if root.id in again or root_is_gone:
        book.renew(root, revision.root.key, None)


def lose(book: RunBook, name: str, loss: Loss) -> None:
    """Queue again what a slot ran that is gone; fail what was lost too often."""
    slot = book.slots.pop(name, None) or Slot(name, book.state.id, "")
    book.starting.pop(name, None)
    running, guilty = dict(slot.running), ""
    if name in book.expected:
        # It has not attached since this ledger started: what it ran is known from the log alone.
        held = [each for each in book.state.actions.values() if each.slot == name]
        running = {each.id: each.attempt for each in sorted(held, key=lambda each: each.started_us)}
        loss = loss._replace(cause=UNSEEN) if loss.cause == CRASHED else loss
    elif loss.cause == CRASHED and not slot.doomed:
        guilty = suspect(slot)
    if loss.cause == MEMORY and not slot.doomed:
        # Also what waits holds memory; what began last stands on the others.
        guilty = suspect(slot) or next(reversed(running), "")
    for each, attempt in running.items():
        action = book.state.actions[each]
        book.leave(slot, each, attempt)
        book.believe(each)
        if action.phase is not ActionPhase.RUNNING or action.attempt != attempt:
            continue
        excess = shortage(book.refs[action.task], action, loss) if each == guilty and loss.cause == MEMORY else ""
        if excess and len(running) == 1:
            _exceed(book, action, excess)
        elif lose_attempt(book, action, loss, to_blame=each == guilty and (loss.cause == CRASHED or bool(excess))):
            book.queue_again(action)
    stop_expecting(book, name)


def _exceed(book: RunBook, action: ActionState, excess: str) -> None:
    limits = book.refs[action.task].limits
    may_retry = limits is None or limits.retry_oom
    body = failure("OOMError", "user", excess)
    book.conclude(action, Result(action.id, action.attempt, OUT_OF_MEMORY, body, may_retry, 0.0, None), None)


def lose_attempt(book: RunBook, action: ActionState, loss: Loss, *, to_blame: bool) -> bool:
    """Record the loss of an attempt; False if that was one too many, which ends the action."""
    # From when it began: the pause is there for what is lost again and again, and not for what had run for long.
    pause_us = round(delay_s((action.losses if to_blame else action.displaced) + 1) * 1e6)
    ready_us = action.started_us + pause_us
    body = lost(loss.reason, loss.cause, to_blame=to_blame, ready_us=ready_us if ready_us > book.now_us() else 0)
    book.record(kinds.LOST, action.id, action.attempt, body=body)
    error = exceeded(action, loss)
    if error is not None:
        book.end(action, kinds.FAILED, error, None)
    return error is None


def silent(book: RunBook) -> list[str]:
    """Stop to expect slots that have not attached in time; return those that held work and must be ended.

    What these ran is queued again at once: they may be unknown to the launcher, which then reports no death.
    """
    waited_us = book.now_us() - book.expected_since_us
    unbegun, late = missing(book.expected, book.state.actions.values(), waited_us)
    if book.is_late:
        unbegun, late = list(book.expected), []  # the end of the run is to be told
    for name in unbegun:
        book.starting[name] = book.expected[name]
        stop_expecting(book, name)
    for name in late:
        lose(book, name, Loss("it did not answer any more", UNSEEN))
    return late
