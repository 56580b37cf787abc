"""The tasks that `data.py` measures: they hand tables on, and time it.

Each returns seconds or bytes. A table is made anew for each measure, so that no store has it, and outside of what is
timed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import flyte_ray as flyte

env = flyte.TaskEnvironment("tables")
_COLUMNS = 8


@dataclass
class Settings:
    """A small value as many tasks take one."""

    rate: float
    steps: int
    names: list[str]


def fresh_table(megabytes: int) -> pa.Table:
    """Make a table of random numbers."""
    rows = (megabytes << 20) // (8 * _COLUMNS)
    random = np.random.default_rng()
    return pa.table({f"c{number}": random.random(rows) for number in range(_COLUMNS)})


@env.task
def take_table(table: pa.Table) -> int:
    """Have a table, as `ray.get` has one."""
    return table.num_rows


@env.task
def read_table(table: pa.Table) -> float:
    """Read all of a table."""
    return sum(pc.sum(column).as_py() for column in table.columns)


@env.task
def pass_table(megabytes: int) -> float:
    """Hand a table to an action; seconds until that has begun with it and has ended."""
    table = fresh_table(megabytes)
    start = time.perf_counter()
    take_table(table)
    return time.perf_counter() - start


@env.task
def peak_of_passing(megabytes: int) -> float:
    """Hand a table to an action that reads it; MB that this process took at most, beside the table itself."""
    table = fresh_table(megabytes)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _resident("VmRSS")
    read_table(table)
    return (_resident("VmHWM") - before) / 1e6


@env.task
def take_settings(settings: Settings) -> Settings:
    """Is only declared: its values are encoded and decoded."""
    return settings


def _resident(name: str) -> int:
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
