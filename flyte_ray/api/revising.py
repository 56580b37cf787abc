"""Compare the code that a run is on record with to today's: which of its outcomes still count, and why others do not.

Today's code is what this process has imported, or imports now. Nothing is changed here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flyte_ray.errors import CodeBundleError, InvalidDeclaration
from flyte_ray.ledger.messages import TaskRef, read_ref
from flyte_ray.ledger.revision import Changes, judge
from flyte_ray.ledger.state import RunState
from flyte_ray.runtime.catalog import bodies_of, load_task
from flyte_ray.spec.body import Parts
from flyte_ray.spec.ids import ROOT_ACTION
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.spec.task import TaskSpec
from flyte_ray.types.signing import Pickling

NAMED: Final = 3
"""How many changed functions a reason names."""
_TASK: Final = "task "
"""Begins the name of a part that is a task, see `read_parts`."""
_UNFINISHED: Final = {
    ActionPhase.FAILED: "had failed",
    ActionPhase.TIMED_OUT: "had run out of time",
    ActionPhase.ABORTED: "was aborted",
}


@dataclass(frozen=True)
class Judged:
    """What becomes of some actions of one task."""

    task: str
    count: int
    again: bool
    """They run again when they are called again; else their outcomes are kept."""
    why: str

    def __str__(self) -> str:
        """Say it in one line."""
        verdict = f"runs again ({self.why})" if self.again else "keeps"
        return f"{verdict}: {self.count:,} of {self.task}"


@dataclass(frozen=True)
class Plan:
    """How a run goes on with today's code."""

    root: TaskSpec
    changes: Changes
    judged: tuple[Judged, ...]
    """All actions on record, in the order in which their tasks were called first."""

    @property
    def goes_on(self) -> bool:
        """Whether anything runs again."""
        return any(judged.again for judged in self.judged)


def plan_revision(
    state: RunState,
    *,
    action: str = ROOT_ACTION,
    inputs: Collection[str] = (),
    keep: Sequence[str] = (),
    again: Sequence[str] = (),
    declared: Mapping[str, TaskSpec] | None = None,
) -> Plan:
    """Say what of a run counts with today's code.

    Args:
        state: The run, as it is on record.
        action: The one that it goes on with, or begins with.
        inputs: Names of inputs that this gets besides the recorded ones.
        keep: Tasks whose outcomes are kept although their code has changed, by name or function name.
        again: Tasks whose outcomes are not kept although their code has not changed.
        declared: Today's tasks by name, where the record says no module: for runs that a script started.

    Raises:
        CodeBundleError: The action's task is not in today's code, or takes other inputs now.
        InvalidDeclaration: `keep` or `again` names no task of the run, or the same one.

    """
    if not state.actions:
        raise CodeBundleError(f"Run {state.id!r} was cut off before it began: there is nothing to keep. Start another.")
    refs = _refs(state)
    kept, asked = _named(keep, refs), _named(again, refs)
    if kept & asked:
        raise InvalidDeclaration(f"A task is either kept or run again, got both for {', '.join(sorted(kept & asked))}.")
    found = {key: _find(ref, declared or {}) for key, ref in refs.items()}
    changes = _compare(refs, found, kept, asked)
    first = state.actions[action]
    today = found[first.task]
    if today is None:
        raise CodeBundleError(
            f"The code should hold the task '{first.task_name}' that run {state.id!r} began with, but does not."
            f" Continue it where that task is declared: flyte.remote.Run.get({state.id!r}).resume(...)."
        )
    _check_inputs({*json.loads(first.inputs), *inputs}, today[0])
    return Plan(today[0], changes, tuple(_judge(state, changes)))


def imported_changes(state: RunState) -> Changes:
    """Say where this process has imported other code than a run is on record with."""
    refs = {key: ref for key, ref in _refs(state).items() if ref.module}
    return _compare(refs, {key: _find(ref, {}) for key, ref in refs.items()}, set(), set())


def _refs(state: RunState) -> dict[str, TaskRef]:
    refs = {key: read_ref(body) for key, body in state.tasks.items()}
    return {key: ref for key, ref in refs.items() if not ref.is_condition}


_Today = tuple[TaskSpec, str] | None


def _compare(
    refs: Mapping[str, TaskRef], found: Mapping[str, _Today], kept: Collection[str], asked: Collection[str]
) -> Changes:
    own: dict[str, str] = {}
    called: dict[str, str] = {}
    for key, ref in refs.items():
        today = found[key]
        now = bodies_of(*today) if today is not None else None
        why = "asked for" if ref.name in asked else _difference(ref.bodies, now, today is not None)
        if why and ref.name not in kept:
            own[key] = why
        outside = {*_changed(ref.bodies or (), now or (), tasks=True), *(_TASK + name for name in asked)}
        names = sorted(name.removeprefix(_TASK) for name in outside & {name for name, _ in ref.bodies or ()})
        if set(names) - set(kept):
            called[key] = f"it calls {', '.join(names)}, which runs again"
    return Changes(own, called, frozenset(key for key, ref in refs.items() if ref.name in kept))


def _named(given: Sequence[str], refs: Mapping[str, TaskRef]) -> set[str]:
    names = {ref.name for ref in refs.values()}
    found = set()
    for word in given:
        fitting = {name for name in names if word in (name, name.partition(".")[2])}
        if not fitting:
            raise InvalidDeclaration(f"Expected a task of the run, got {word!r}. It has: {', '.join(sorted(names))}.")
        found |= fitting
    return found


def _find(ref: TaskRef, declared: Mapping[str, TaskSpec]) -> _Today:
    """Return today's task, and the module that was `__main__` when the run began."""
    try:
        # What travelled by value was declared in the script or notebook, which may be this process.
        spec = load_task(ref._replace(pickled=None, module=ref.module or "__main__"), Pickling())
    except (ImportError, CodeBundleError):
        if ref.name not in declared:
            return None
        spec = declared[ref.name]
    return (spec, "__main__" if ref.module else spec.func.__module__) if spec.name == ref.name else None


def _changed(before: Iterable[tuple[str, str]], now: Iterable[tuple[str, str]], *, tasks: bool) -> list[str]:
    one, other = dict(before), dict(now)
    return [
        name
        for name in dict.fromkeys((*other, *one))
        if one.get(name) != other.get(name) and name.startswith(_TASK) == tasks
    ]


def _difference(before: Parts | None, now: Parts | None, is_there: bool) -> str:
    """Say how a task's code has changed; empty if it has not."""
    if not is_there:
        return "it is not in the code any more"
    if before is None or now is None:
        return "it is not on record what its code was" if before is None else "its code cannot be read"
    names = _changed(before, now, tasks=False)
    if not names:
        return ""
    one, other = dict(before), dict(now)
    words = [
        f"{name} {'is new' if name not in one else 'is gone' if name not in other else 'changed'}"
        for name in names[:NAMED]
    ]
    return ", ".join([*words, *([f"and {len(names) - NAMED} more"] if len(names) > NAMED else [])])


def _check_inputs(given: set[str], today: TaskSpec) -> None:
    takes = [item.name for item in today.interface.parameters]
    needs = {item.name for item in today.interface.parameters if not item.has_default}
    if not needs <= given <= set(takes):
        raise CodeBundleError(
            f"Task '{today.name}' should take the inputs that the run began with, {', '.join(sorted(given)) or 'none'},"
            f" but takes {', '.join(takes) or 'none'} now. Start another run."
        )


def _judge(state: RunState, changes: Changes) -> list[Judged]:
    counts: Counter[tuple[str, bool, str]] = Counter()
    for name, why in judge(state, changes).items():
        action = state.actions[name]
        if why is not None and not action.has_succeeded:
            ended = _UNFINISHED.get(action.phase, "was not finished")
            why = "; ".join(filter(None, (ended, changes.own.get(action.task))))
        counts[action.task_name, why is not None, why or ""] += 1
    return [Judged(task, count, runs, why) for (task, runs, why), count in counts.items()]
