"""Store the folded log of a run that has ended: `actions.arrow`, one row per action.

Readers need one object in place of all segments, and any Arrow tool reads it. The segments stay the record: a
snapshot that is missing, behind or damaged costs time, nothing else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from flyte_ray.errors import ObjectMissing, StoreDamagedError
from flyte_ray.ledger.columns import column
from flyte_ray.ledger.paths import snapshot_key
from flyte_ray.ledger.seal import is_sealed, read_sealed, write_sealed
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store

if TYPE_CHECKING:
    import pyarrow as pa

ROWS: Final = 10_000
"""Actions whose columns are made at a time."""
_log: Final = logging.getLogger("flyte_ray.ledger")
_TEXT = ("id", "parent", "task", "group", "context", "phase", "inputs", "result", "cache", "cached_from")
_NUMBERS = ("depth", "generation", "attempts", "failures", "losses", "growths", "rounds", "displaced")
_TIMES = ("called_us", "started_us", "ended_us", "asked_us", "queued_us", "ready_us", "revoked_us")


def write_snapshot(store: Store, state: RunState, position: int) -> None:
    """Store a run's actions as they are after all segments before `position`."""
    about = {
        "flyte_ray.position": str(position),
        "flyte_ray.resumes": str(state.resumes),
        "flyte_ray.code": state.code or "",
        "flyte_ray.tasks": json.dumps(state.tasks),
    }
    actions = list(state.actions.values())
    # A part at a time: as one, the columns of a long run's end were half as much memory as all that is known of it.
    starts = range(0, max(1, len(actions)), ROWS)
    first, *others = starts
    batch = _rows(actions[first : first + ROWS])
    batches = chain([batch], (_rows(actions[start : start + ROWS]) for start in others))
    store.put(snapshot_key(state.id), write_sealed(batches, batch.schema, about))


def _rows(actions: Sequence[ActionState]) -> pa.RecordBatch:
    import pyarrow as pa  # slow to import; only a run's end needs it

    columns: dict[str, pa.Array] = {}
    for name in _TEXT:
        values = [getattr(action, name) for action in actions]
        columns[name] = column([v.value if name == "phase" else v for v in values], pa.string())
    for name in _NUMBERS:
        columns[name] = column([getattr(action, name) for action in actions], pa.int32())
    for name in _TIMES:
        columns[name] = column([getattr(action, name) for action in actions], pa.timestamp("us", tz="UTC"))
    diverged = [json.dumps(action.diverged) if action.diverged else None for action in actions]
    columns["diverged"] = column(diverged, pa.string())
    return pa.RecordBatch.from_pydict(columns)


def read_snapshot(store: Store, run: RunId) -> tuple[RunState, int]:
    """Return a run's state and the position from which segments are to be folded onto it; empty and 0 without one."""
    try:
        data = store.get(snapshot_key(run))
    except ObjectMissing:
        return RunState(run), 0
    try:
        return _decode(data, run, f"{store.uri}/{snapshot_key(run)}")
    except (StoreDamagedError, ValueError, KeyError, OSError) as error:  # the latter of Arrow, where it is not sealed
        _log.warning("the snapshot of run %s is left aside, and its log is read: %s", run, error)
        return RunState(run), 0


def _decode(data: bytes, run: RunId, uri: str) -> tuple[RunState, int]:
    import pyarrow as pa  # see write_snapshot

    if is_sealed(data):
        table, meta = read_sealed(data, uri)
    else:  # of a first version
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
        meta = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    state = RunState(run, tasks=json.loads(meta["flyte_ray.tasks"]), resumes=int(meta["flyte_ray.resumes"]))
    state.code = meta.get("flyte_ray.code") or None
    for name in set(_TIMES) & set(table.column_names):
        at = table.schema.get_field_index(name)
        # Not by `cast`, which imports Arrow's compute functions: that takes as long as to read 1,000 actions.
        numbers = [chunk.view(pa.int64()) for chunk in table.column(name).chunks]
        table = table.set_column(at, name, pa.chunked_array(numbers, pa.int64()))
    for row in table.to_pylist():
        phase, diverged = ActionPhase(row.pop("phase")), row.pop("diverged", None)
        action = state.actions[row["id"]] = ActionState(**row, phase=phase)
        action.diverged = [(attempt, body) for attempt, body in json.loads(diverged)] if diverged else None
        state.counts[phase] = state.counts.get(phase, 0) + 1
    return state, int(meta["flyte_ray.position"])
