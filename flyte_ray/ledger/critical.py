"""Find the critical path of a run: the actions whose shortening would have shortened the whole. Pure."""

from __future__ import annotations

from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.spec.ids import ROOT_ACTION


def critical_path(run: RunState) -> list[ActionState]:
    """Return the actions on the critical path, each before those it called, in the order of time.

    Followed backwards from an action's end: of what it called the last to end, then of what had ended before that was
    called the last to end, and so on. What has not ended counts as ending now. Empty before the root is known.
    """
    children: dict[str, list[ActionState]] = {}
    for action in run.actions.values():
        children.setdefault(action.parent or "", []).append(action)
    found: list[ActionState] = []
    waiting = [root] if (root := run.actions.get(ROOT_ACTION)) else []
    while waiting:
        action = waiting.pop()
        found.append(action)
        # What is popped next is the earliest, with all below it.
        waiting.extend(_chain(children.get(action.id, ()), _end(action)))
    return found


_NOW = 1 << 62


def _end(action: ActionState) -> int:
    return action.ended_us if action.phase.is_terminal else _NOW


def _chain(children: list[ActionState] | tuple[()], until: int) -> list[ActionState]:
    """Choose of one action's children those on the path, the latest first."""
    chain = []
    for child in sorted(children, key=_end, reverse=True):
        if _end(child) <= until:
            chain.append(child)
            until = child.called_us
    return chain
