"""Describe runs and actions as plain data: what `flyte-ray get`, the HTTP API and the pages on it show.

Invariants: reads the store alone, so that no cluster is needed; times are microseconds since the epoch; every value is
JSON.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from flyte_ray.errors import ActionNotFoundError
from flyte_ray.ledger.attempts import describe_error
from flyte_ray.ledger.cutoff import Hold, hold_of
from flyte_ray.ledger.listing import list_runs
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.ledger.steps import RecordedStep
from flyte_ray.ledger.verdicts import aborted_by
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store


def describe_runs(
    store: Store, limit: int, *, phases: Collection[str] = (), task: str | None = None
) -> list[dict[str, Any]]:
    """Describe the newest runs, newest first; see `describe_run`.

    Args:
        store: The root.
        limit: Most runs returned.
        phases: Only those in one of these; reads the record of each run.
        task: Only those of this task, `env.function`.

    """
    found: list[dict[str, Any]] = []
    for about in list_runs(store, 10**9 if phases or task else limit):
        if task in (None, about["task"]):
            run = _describe(store, about)
            if not phases or run["phase"] in phases:
                found.append(run)
        if len(found) >= limit:
            break
    return found


def describe_run(store: Store, run: str) -> dict[str, Any]:
    """Describe a run.

    Returns:
        `name`, `phase`, `task`, `started_us`, `ended_us` (0: not yet), `who` started it (empty in old records),
        `actions` (how many, by phase), `labels`, `mode`, `rerun` (`run`, `action`, `recover` of what it was started
        anew from, else None); of one that has not ended `hold`: `holder`, `seen_s`, `is_cut_off`, as far as one look
        tells, else None.

    Raises:
        RunNotFoundError: There is no such run.

    """
    return _describe(store, load_spec(store, RunId(run)))


def _describe(store: Store, spec: Mapping[str, Any]) -> dict[str, Any]:
    state = load_state(store, RunId(spec["name"]))
    return describe_state(spec, state, None if state.phase.is_terminal else hold_of(store, state.id))


def describe_state(spec: Mapping[str, Any], state: RunState, hold: Hold | None) -> dict[str, Any]:
    """Describe a run that was read; see `describe_run`."""
    rerun = spec.get("rerun")
    return {
        "name": spec["name"],
        "phase": state.phase.value,
        "task": spec["task"],
        "started_us": spec["started_us"],
        "ended_us": state.root.ended_us if state.phase.is_terminal else 0,
        "who": spec.get("by", ""),
        "actions": {phase.value: count for phase, count in state.counts.items() if count},
        "labels": spec.get("labels") or {},
        "mode": spec.get("mode"),
        "rerun": {name: rerun[name] for name in ("run", "action", "recover")} if rerun else None,
        "hold": hold._asdict() if hold else None,
    }


def phase_text(run: Mapping[str, Any]) -> str:
    """Write the phase of a described run, with who holds it."""
    phase = ActionPhase(run["phase"])
    return Hold(**run["hold"]).describe(phase) if run["hold"] else phase.value


def origin_text(run: Mapping[str, Any]) -> str:
    """Say from what a described run was started anew; empty if it was not."""
    rerun = run["rerun"]
    if not rerun:
        return ""
    action = "" if rerun["action"] == ROOT_ACTION else f"/{rerun['action']}"
    return f"{'recovers' if rerun['recover'] else 'reruns'} {rerun['run']}{action}"


def load_actions(store: Store, run: str) -> dict[str, ActionState]:
    """Read the actions of a run, by id.

    Raises:
        RunNotFoundError: There is no such run.

    """
    load_spec(store, RunId(run))
    return load_state(store, RunId(run)).actions


def pick_action(actions: Mapping[str, ActionState], run: str, action: str) -> ActionState:
    """Return one of a run's actions.

    Raises:
        ActionNotFoundError: It has none of this id.

    """
    if action not in actions:
        raise ActionNotFoundError(
            f"Expected an action of run {run!r}, got {action!r}. 'flyte-ray get action {run}' lists those it has."
        )
    return actions[action]


def describe_action(item: ActionState) -> dict[str, Any]:
    """Describe an action.

    Returns:
        `id`, `parent`, `phase`, `task`, `group`, `attempts`, `started_us` and `ended_us` of the last attempt (0: not
        yet), `seconds` that it ran, `diverged` calls, `cache` (who made a kept outcome that was used, or `kept`),
        `aborted_by`, and `error`: class and message; of what was aborted why.

    """
    ended = item.phase.is_terminal
    failed = ended and not item.has_succeeded
    seconds = (item.ended_us - item.started_us) / 1e6 if ended and item.started_us else None
    return {
        "id": item.id,
        "parent": item.parent,
        "phase": item.phase.value,
        "task": item.task_name,
        "group": item.group,
        "attempts": item.attempts,
        "started_us": item.started_us,
        "ended_us": item.ended_us,
        "seconds": None if seconds is None else round(seconds, 3),
        "diverged": len(item.diverged or ()) or None,
        "cache": item.cached_from or ("kept" if item.cache and not failed and ended else ""),
        "aborted_by": aborted_by(item.result) if failed else "",
        "error": describe_error(item.result) if failed else "",
    }


def describe_values(item: ActionState) -> dict[str, Any]:
    """Return `inputs` and `result` of an action as they are stored; of an error without its pickled original."""
    result = json.loads(item.result) if item.result else None
    if isinstance(result, dict) and not item.has_succeeded:
        result.pop("original", None)  # a pickle, which is for programs
    return {"inputs": json.loads(item.inputs), "result": result}


def describe_step(step: RecordedStep) -> dict[str, Any]:
    """Describe a step of an action: `step`, `attempt`, `group`, `seconds`, `outcome`, `error`."""
    record = json.loads(step.body)
    return {
        "step": step.name,
        "attempt": step.attempt,
        "group": step.group,
        "seconds": round((record["ended_us"] - record["started_us"]) / 1e6, 3),
        "outcome": "failed" if "error" in record else "succeeded",
        "error": describe_error(json.dumps(record["error"])) if "error" in record else "",
    }
