"""Judge which outcomes of a run still count when it goes on with edited code.

Invariants: an outcome counts no more if what made it has changed, or if something that it called runs again; what a
person vouches for counts, with all below it. Pure: what has changed is found out by who has both versions of the code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.state import ActionState, RunState


class Changes(NamedTuple):
    """How the tasks on record have changed; by their keys, with the reason as a person should read it."""

    own: Mapping[str, str]
    """Tasks whose function, or a function of the project that it calls, is another one now."""
    called: Mapping[str, str]
    """Tasks that call tasks which have changed: that counts for outcomes whose calls are not on record here."""
    kept: frozenset[str]
    """Tasks whose outcomes a person vouches for."""
    asked: frozenset[str] = frozenset()
    """Actions, not tasks, that a person wants to run again."""


class Revision(NamedTuple):
    """Today's code, for a run that was begun with another."""

    code: str | None
    """Marker of its bundle."""
    root: TaskRef
    """The root action's task."""
    changes: Changes

    def dump(self) -> str:
        """Write for the record."""
        return json.dumps({"code": self.code, "changed": dict(self.changes.own)})


def judge(state: RunState, changes: Changes) -> dict[str, str | None]:
    """Say of each action, in the order of the calls, whether it is to run again if it is called.

    Returns:
        The reason by action: None if its outcome counts or it stands below one that does, empty if it had none.

    """
    found: dict[str, str] = {}
    for action in reversed(state.actions.values()):
        if action.task in changes.kept and action.id not in changes.asked:
            found.pop(action.id, None)
            continue
        why = changes.own.get(action.task) or found.get(action.id)
        why = "asked for" if action.id in changes.asked else why
        if action.cached_from:
            why = why or changes.called.get(action.task)
        if why:
            found[action.id] = why
            if action.parent and not _is_left_over(action, state.actions[action.parent]):
                found.setdefault(action.parent, f"it called {action.task_name}, which runs again")
    verdicts: dict[str, str | None] = {}
    for action in state.actions.values():
        is_below = action.parent is not None and verdicts[action.parent] is None
        counts = is_below or (action.has_succeeded and action.id not in found)
        verdicts[action.id] = None if counts else found.get(action.id, "")
    return verdicts


def _is_left_over(action: ActionState, parent: ActionState) -> bool:
    """Whether an action failed before the attempt of its parent began that has succeeded without it."""
    return parent.has_succeeded and not action.has_succeeded and action.ended_us < parent.started_us
