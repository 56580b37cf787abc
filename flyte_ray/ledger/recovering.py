"""Take outcomes of an earlier run over: which of its actions a run that recovers it need not execute.

Invariants: an action is the same in both runs if it has the same id, which depends on what was called with what, and
on nothing that tells runs apart; what its outcome refers to stays where it is.
Called without the service's lock.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flyte_ray.errors import RunNotFoundError
from flyte_ray.ledger.cache import Kept
from flyte_ray.ledger.outputs import take_all
from flyte_ray.ledger.paths import data_place
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.revision import Changes, Revision, judge
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.storage import Store

_log = logging.getLogger("flyte_ray.ledger")


def dump_source(run: RunId, action: str, recover: Changes | None) -> dict[str, Any]:
    """Write for a run's specification from what it was started anew, and with which changes it recovers that."""
    changes = recover and {
        "own": dict(recover.own),
        "called": dict(recover.called),
        "kept": sorted(recover.kept),
        "asked": sorted(recover.asked),
    }
    return {"run": run, "action": action, "recover": changes}


def load_outcomes(store: Store, spec: Mapping[str, Any]) -> dict[str, Kept]:
    """Read what a run may take over by its specification, by action; empty if it recovers none."""
    rerun = spec.get("rerun") or {}
    if not rerun.get("recover"):
        return {}
    recover = rerun["recover"]
    changes = Changes(recover["own"], recover["called"], frozenset(recover["kept"]), frozenset(recover["asked"]))
    run = RunId(rerun["run"])
    try:
        source, state = load_spec(store, run), load_state(store, run)
    except RunNotFoundError:
        _log.warning("run %s recovers run %s, which is gone: all of it runs", spec["name"], run)
        return {}
    kept = {action.id: action for action in recoverable(state, changes)}
    whole, gone = _needed(store, data_place(run, source), kept)
    if gone:
        _log.warning("run %s: outputs of %d actions of run %s are gone; they run", spec["name"], len(gone), run)
    return {name: Kept(f"{run}/{name}", output) for name, output in whole.items()}


def find_gone(store: Store, spec: Mapping[str, Any], state: RunState, revision: Revision | None) -> list[str]:
    """Return the actions whose outcomes a continued run needs, and of which values are gone from the store.

    Args:
        store: The root.
        spec: The run's specification.
        state: Its record.
        revision: The code to continue it with, if that has changed.

    """
    verdicts = judge(state, revision.changes) if revision else {}
    kept = {
        name: action for name, action in state.actions.items() if action.has_succeeded and verdicts.get(name) is None
    }
    return _needed(store, data_place(state.id, spec), kept)[1]


def _needed(store: Store, place: str, kept: Mapping[str, ActionState]) -> tuple[dict[str, str], list[str]]:
    """Look for the values of outcomes that may be asked for: of all but those below one whose own are there.

    Returns:
        The outputs by action, so that what they refer to is found from elsewhere, and the actions of which values are
        gone.

    """
    found: dict[str, str] = {}
    lost: list[str] = []
    wanted = [action for action in kept.values() if action.parent not in kept]
    while wanted:
        whole = take_all(store, place, {action.id: action.result or "null" for action in wanted})
        found |= whole
        gone = {action.id for action in wanted if action.id not in whole}
        lost += gone
        wanted = [action for action in kept.values() if action.parent in gone]
    return found, lost


def recoverable(state: RunState, changes: Changes) -> list[ActionState]:
    """Return the actions whose outcomes still count; the root always runs, because it calls the others."""
    verdicts = judge(state, changes._replace(asked=changes.asked | {ROOT_ACTION}))
    return [action for action in state.actions.values() if verdicts[action.id] is None and action.has_succeeded]
