"""Describe runs and actions as plain data: what `flyte-ray get`, the HTTP API and the pages on it show.

Invariants: reads the store alone, so that no cluster is needed; times are microseconds since the epoch; every value is
JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from flyte_ray.errors import ActionNotFoundError
from flyte_ray.ledger.attempts import describe_error
from flyte_ray.ledger.cutoff import Hold, hold_of
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.run_list import Listed, RunList
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.ledger.steps import RecordedStep
from flyte_ray.ledger.verdicts import aborted_by
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store


def describe_runs(
    store: Store, limit: int, *, phases: Collection[str] = (), task: str | None = None
) -> list[dict[str, Any]]:
    """Describe the newest runs, newest first; see `describe_run`.

    Args:
        store: The root.
        limit: Most runs returned.
        phases: Only those in one of these.
        task: Only those of this task, `env.function`.

    """
    wanted = Wanted(tuple(phases), task)
    return [run for _, run in islice(select_runs(store, RunList(store).runs(), wanted), limit)]


@dataclass(frozen=True)
class Wanted:
    """Which runs are asked for; what is left out does not matter."""

    phases: Collection[str] = ()
    task: str | None = None
    text: str = ""
    """A part of the name, the task, who started it, or a label; capitals do not matter."""
    labels: Mapping[str, str] = field(default_factory=dict)
    since_us: int = 0
    before: str = ""
    """Only what stands in the list behind this place."""

    def may_be(self, listed: Listed) -> bool:
        """Whether a run is wanted as far as its start tells."""
        about = listed.about
        labels = about.get("labels") or {}
        return (
            listed.place > self.before
            and self.task in (None, about["task"])
            and about["started_us"] >= self.since_us
            and all(labels.get(name) == value for name, value in self.labels.items())
            and (not self.text or self.text.lower() in _words_of(about, labels))
        )


def _words_of(about: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    pairs = (f"{name}={value}" for name, value in labels.items())
    return "\n".join((about["name"], about["task"], about.get("by", ""), *pairs)).lower()


def select_runs(
    store: Store,
    listed: Iterable[Listed],
    wanted: Wanted,
    describe: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place in the list and the description of those runs that are wanted, newest first.

    Args:
        store: The root.
        listed: Its list.
        wanted: Which of them.
        describe: Describes a run that has not ended, as far as the list tells, by its start; default: reads its record.

    """
    for each in listed:
        if not wanted.may_be(each):
            continue
        if each.end is not None and wanted.phases and each.end["phase"] not in wanted.phases:
            continue
        run = describe_listed(each) if each.end else (describe or partial(_describe, store))(each.about)
        if not wanted.phases or run["phase"] in wanted.phases:
            yield each.place, run


def describe_listed(listed: Listed) -> dict[str, Any]:
    """Describe a run whose end is in the list."""
    assert listed.end is not None, "else its record is read"
    return {**_start_of(listed.about), **{name: listed.end[name] for name in ("phase", "ended_us", "actions")}}


def _start_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    rerun = spec.get("rerun")
    return {
        "name": spec["name"],
        "phase": "",
        "task": spec["task"],
        "started_us": spec["started_us"],
        "ended_us": 0,
        "who": spec.get("by", ""),
        "actions": {},
        "labels": spec.get("labels") or {},
        "mode": spec.get("mode"),
        "rerun": {name: rerun[name] for name in ("run", "action", "recover")} if rerun else None,
        "hold": None,
    }


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
    return {
        **_start_of(spec),
        "phase": state.phase.value,
        "ended_us": state.root.ended_us if state.phase.is_terminal else 0,
        "actions": {phase.value: count for phase, count in state.counts.items() if count},
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
        hint = did_you_mean(action, actions, f"'flyte-ray get action {run}' lists those it has.")
        raise ActionNotFoundError(f"Expected an action of run {run!r}, got {action!r}. {hint}")
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
