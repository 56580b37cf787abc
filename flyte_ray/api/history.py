"""A run's actions as one Arrow table, for whoever asks questions of them: with DuckDB, polars, pandas or pyarrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from flyte_ray.ledger.columns import column
from flyte_ray.ledger.state import ActionState

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS: Final[dict[str, Callable[[ActionState], str | None]]] = {
    "action": lambda action: action.id,
    "parent": lambda action: action.parent,
    "task": lambda action: action.task_name,
    "group": lambda action: action.group,
    "phase": lambda action: action.phase.value,
}
_NUMBERS: Final[dict[str, Callable[[ActionState], int]]] = {
    "depth": lambda action: action.depth,
    "attempts": lambda action: action.attempts,
    "failures": lambda action: action.failures,
    "losses": lambda action: action.losses + action.displaced,
}
_TIMES: Final[dict[str, Callable[[ActionState], int]]] = {
    "called": lambda action: action.called_us,
    "queued": lambda action: action.queued_us,
    "started": lambda action: action.started_us,
    "ended": lambda action: _ended(action),
}
_BODIES: Final[dict[str, Callable[[ActionState], str | None]]] = {
    "cached_from": lambda action: action.cached_from if action.has_succeeded else None,
    "error_code": lambda action: _error(action).get("code"),
    "error": lambda action: _error(action).get("message"),
    "inputs": lambda action: action.inputs,
    "output": lambda action: action.result if action.has_succeeded else None,
    "context": lambda action: action.context,
}


def actions_table(run: str, actions: Iterable[ActionState]) -> pa.Table:
    """Build the table; `Run.actions_table` says what its columns hold.

    Args:
        run: Name of the run.
        actions: In the order of their calls, which is that of the rows.

    """
    import pyarrow as pa  # slow to import, and only who asks for a table needs it

    rows = list(actions)
    text, number, moment = pa.string(), pa.int32(), pa.timestamp("us", tz="UTC")
    columns = {"run": column([run] * len(rows), text)}
    columns |= {name: column([get(row) for row in rows], text) for name, get in _TEXTS.items()}
    columns |= {name: column([get(row) for row in rows], number) for name, get in _NUMBERS.items()}
    columns |= {name: column([get(row) or None for row in rows], moment) for name, get in _TIMES.items()}
    columns["duration_s"] = column([_duration_s(row) for row in rows], pa.float64())
    columns |= {name: column([get(row) for row in rows], text) for name, get in _BODIES.items()}
    return pa.table(columns)


def _ended(action: ActionState) -> int:
    return action.ended_us if action.phase.is_terminal else 0  # one that runs again has ended before


def _duration_s(action: ActionState) -> float | None:
    ended = _ended(action)
    return (ended - action.started_us) / 1e6 if ended and action.started_us else None


def _error(action: ActionState) -> dict[str, Any]:
    failed = action.phase.is_terminal and not action.has_succeeded
    found: dict[str, Any] = json.loads(action.result) if failed and action.result else {}
    return found
