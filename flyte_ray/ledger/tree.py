"""Show a run's tree of actions as columns: one row per action, in the order of the calls.

Invariants: pure; a row keeps its number for good, so that what has changed can be told by numbers; times are
milliseconds since the run's start, -1 for not yet. No values: 50,000 rows are some 4 MB of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from flyte_ray.ledger.critical import critical_path
from flyte_ray.ledger.folded import Ended, FoldedRun, without_collection
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.phase import ActionPhase

PHASES: Final = tuple(phase.value for phase in ActionPhase)
"""What the column `phase` counts in."""
_NUMBERS: Final = {phase: number for number, phase in enumerate(ActionPhase)}


def tree_columns(run: FoldedRun) -> dict[str, Any]:
    """Return the whole tree.

    Returns:
        `position` behind which to ask for changes; `tasks`, `groups` and `phases`, which the columns `task`, `group`
        (-1: none) and `phase` count in; the columns `id`, `parent` (row, -1: none), `attempts`, and `queued` (last),
        `started` and `ended` in ms; `cached` rows; and by row `traces` (`[name, seconds, succeeded]` each), `earlier`
        attempts (`[queued, started, ended, outcome]` each); `critical` rows, from the root on.

    """
    return {**_columns(run, range(len(run.rows)), _row_of(run)), "critical": critical_rows(run)}


def critical_rows(run: FoldedRun) -> list[int]:
    """Return the rows on the critical path, see `critical_path`."""
    numbers = _row_of(run)
    return [numbers[each.id] for each in critical_path(run.state)]


def tree_json(run: FoldedRun) -> bytes:
    """Return `tree_columns` as JSON; made once for each state of the run."""
    with run.lock:
        made = run.texts.get("tree")
        if made is None or made[0] != run.position:
            with without_collection():
                made = run.texts["tree"] = run.position, json.dumps(tree_columns(run), separators=(",", ":")).encode()
        return made[1]


def changed_columns(run: FoldedRun, position: int) -> dict[str, Any] | None:
    """Return the columns of what has changed behind a position, with `row`, the numbers; None if nothing has."""
    if run.position <= position:
        return None
    numbers = _row_of(run)
    rows = sorted(numbers[name] for name, at in run.changed.items() if at > position and name in numbers)
    return {**_columns(run, rows, numbers), "row": rows}


def _row_of(run: FoldedRun) -> dict[str, int]:
    return {name: row for row, name in enumerate(run.rows)}


def _columns(run: FoldedRun, rows: Sequence[int], numbers: dict[str, int]) -> dict[str, Any]:
    actions = [run.state.actions[run.rows[row]] for row in rows]
    start = run.spec["started_us"]
    tasks, groups = _Names(), _Names()
    queued, started, ended = [], [], []
    for each in actions:
        # What was started or has ended before it was queued again is past.
        is_open = each.phase is ActionPhase.QUEUED
        queued.append((each.queued_us - start) // 1000)
        started.append(-1 if is_open or not each.started_us else (each.started_us - start) // 1000)
        ended.append((each.ended_us - start) // 1000 if each.phase.is_terminal else -1)
    return {
        "position": run.position,
        "id": [each.id for each in actions],
        "parent": [numbers.get(each.parent or "", -1) for each in actions],
        "task": [tasks.number(each.task_name) for each in actions],
        "group": [-1 if each.group is None else groups.number(each.group) for each in actions],
        "phase": [_NUMBERS[each.phase] for each in actions],
        "attempts": [each.attempts for each in actions],
        "queued": queued,
        "started": started,
        "ended": ended,
        "cached": [row for row, each in zip(rows, actions, strict=True) if each.cached_from],
        "traces": _by_row(rows, actions, run.traced),
        "earlier": {
            row: [_since(start, each) for each in past] for row, past in _by_row(rows, actions, run.earlier).items()
        },
        "tasks": list(tasks),
        "groups": list(groups),
        "phases": PHASES,
    }


class _Names(dict[str, int]):
    """Numbers names as they come."""

    def number(self, name: str) -> int:
        return self.setdefault(name, len(self))


def _by_row(rows: Sequence[int], actions: Sequence[ActionState], known: dict[str, list[Any]]) -> dict[int, list[Any]]:
    if not known:
        return {}
    return {row: known[each.id] for row, each in zip(rows, actions, strict=True) if each.id in known}


def _since(start: int, past: Ended) -> list[Any]:
    return [*((us - start) // 1000 for us in past[:3]), past.outcome]
