"""Tables that go from one process to another on one machine, whose store is elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

import numpy as np
import pyarrow as pa

import flyte_ray as flyte
from flyte_ray.runtime.context import current_action
from flyte_ray.storage import nearby

env = flyte.TaskEnvironment("near")
HALF = flyte.Resources(cpu="500m")
making = flyte.TaskEnvironment("making", resources=HALF, env_vars={"KIND": "making"})
taking = flyte.TaskEnvironment("taking", resources=HALF, env_vars={"KIND": "taking"})
"""Ray gives no process from one of these to the other."""


@making.task
def make(rows: int) -> tuple[pa.Table, int]:
    """Return a table, and which process has made it."""
    return pa.table({"x": np.arange(rows)}), os.getpid()


@taking.task
def take(table: pa.Table, since: str) -> dict[str, int]:
    """Say what a table that was taken costs this process."""
    return {"sum": int(table["x"].to_numpy().sum()), "allocated": pa.total_allocated_bytes(), "process": os.getpid()}


def place() -> Any:
    """Where the run keeps its tables."""
    action = current_action.get()
    assert action is not None
    return action.controller.blobs


@env.task
def passed_on(rows: int) -> list[dict[str, Any]]:
    """Pass a table on: while its store lacks it, when its maker was killed, and when this machine has no copy of it."""
    table, maker = make(rows)
    store, (key,) = place().store, [key for key in place().store.keys(place().prefix) if key.endswith(".arrow")]
    data = store.get(key)
    store.delete([key])
    found = [take(table, "it was made")]
    with contextlib.suppress(ProcessLookupError):
        os.kill(maker, signal.SIGKILL)
    found.append(take(table, "its maker was killed"))
    store.put(key, data)
    for copy in nearby.nearby_folder().glob(f"*/{os.path.basename(key)}"):
        os.unlink(copy)
    found.append(take(table, "its copy is gone"))
    return [*found, {"process": maker, "name": os.path.basename(key)}]


@env.task
def passed_on_here(rows: int) -> list[int]:
    """Pass a table on in one process, and say what Arrow has allocated; then without a copy, and with that again."""
    table = kept(rows)
    before = seen(table)
    for copy in nearby.nearby_folder().glob("*/*.arrow"):
        os.unlink(copy)
    return [before, seen(table), seen(table)]


@env.task
def kept(rows: int) -> pa.Table:
    """Return a table."""
    return pa.table({"x": np.arange(rows)})


@env.task
def seen(table: pa.Table) -> int:
    """Return what was allocated for what was taken."""
    assert table["x"].to_numpy()[-1] == table.num_rows - 1
    return int(pa.total_allocated_bytes())
