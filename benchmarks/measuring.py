"""Measure in one session on one machine: what all benchmarks share.

Each measure is a function that yields rows; its baseline is measured beside it, in turns.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray

import flyte_ray as flyte

CORES = 2
BARE = "bare Ray"
LEDGER_TITLE = "ray::Ledger"

bare_nothing: Any = ray.remote(lambda index: index)


@dataclass(frozen=True)
class Row:
    """One line of the table, as shown."""

    work: str
    bare: str = "-"
    flyte: str = "-"
    ratio: str = "-"
    wall: str = "-"
    target: str = "-"


@dataclass(frozen=True)
class Bench:
    """How this session measures."""

    mode: str
    repeat: int
    root: Path

    def turns(self, theirs: Callable[[], float], task: Any, *args: Any) -> tuple[list[float], list[float]]:
        """Measure a baseline and a task in turns; return their seconds, which the task measures itself."""
        pairs = [(theirs(), self.start(task, *args)[0]) for _ in range(self.repeat)]
        baseline, mine = zip(*pairs, strict=True)
        return list(baseline), list(mine)

    def start(self, task: Any, *args: Any) -> tuple[Any, float]:
        """Run a task as a run of its own; return its output and the run's wall time in seconds."""
        begin = time.perf_counter()
        output = self.run(task, *args).outputs()[0]
        return output, time.perf_counter() - begin

    def run(self, task: Any, *args: Any) -> flyte.Run:
        """Run a task as a run of its own, to its end."""
        run: flyte.Run = flyte.with_runcontext("local" if self.mode == "local" else "remote").run(task, *args)
        run.wait()
        return run

    def compare(self, bare: Callable[[], float], task: Any, *args: Any) -> tuple[float, float, float]:
        """Measure both sides in turns; return medians: bare seconds, seconds inside the root task, run's wall."""
        rows = [(bare(), *self.start(task, *args)) for _ in range(self.repeat)]
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        return medians[0], medians[1], medians[2]


Measure = Callable[[Bench], Iterator[Row]]


@contextmanager
def session(mode: str, repeat: int) -> Iterator[Bench]:
    """Measure in a Ray of one's own, with a root in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        start_ray()
        flyte.init(root=folder)
        yield Bench(mode, repeat, Path(folder))
        ray.shutdown()


def start_ray() -> None:
    """Start a Ray of `CORES` CPUs in this process's session."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.WARNING}
    ray.init("local", num_cpus=CORES, **quiet)  # another one may run on this machine


def measure(bench: Bench, measures: Mapping[str, Measure]) -> list[Row]:
    """Measure one after the other; a measure that fails is a row that says so."""
    rows: list[Row] = []
    for name, each in measures.items():
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            rows.extend(each(bench))
        except Exception as error:
            rows.append(Row(name, flyte=f"failed: {type(error).__name__}"))
            print(f"{name}: {error}", file=sys.stderr)
    return rows


def bare_tasks(count: int) -> float:
    """Submit `count` bare Ray tasks, get them all; seconds."""
    start = time.perf_counter()
    ray.get([bare_nothing.remote(index) for index in range(count)])
    return time.perf_counter() - start


@contextmanager
def watch_ledger() -> Iterator[list[float]]:
    """Note the resident memory of this session's ledger five times a second, in MB."""
    seen: list[float] = []
    ended = threading.Event()

    def note() -> None:
        while not ended.wait(0.2):
            seen.append(ledger_megabytes())

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield seen
    finally:
        seen.append(ledger_megabytes())
        ended.set()
        thread.join()


def ledger_megabytes() -> float:
    """Resident memory of the ledger that descends from this process, found by its title; 0 without one or /proc."""
    parents: dict[int, int] = {}
    ledgers: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid = int(folder.name)
            # The name may hold spaces and brackets: the fields that follow it are counted from its end.
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(LEDGER_TITLE.encode()):
                pages = int((folder / "statm").read_text().split()[1])
                ledgers[pid] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        except OSError:  # ended meanwhile
            continue
    return sum(size for pid, size in ledgers.items() if os.getpid() in ancestors(pid, parents))


def ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    """Yield a process's parent, its parent, and so on."""
    while pid in parents:
        pid = parents[pid]
        yield pid


def rates(count: int, seconds: Sequence[float]) -> list[float]:
    """How many of so many things were done per second, each time."""
    return [count / each for each in seconds]


def seconds_of(call: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(rows: list[Row], mode: str, *, as_json: bool, baseline: str = "bare Ray") -> str:
    """Write where and what was measured: an aligned text table, or JSON; `baseline` names the column to compare to."""
    machine = {
        "python": sys.version.split()[0],
        "ray": ray.__version__,
        "cores": f"{CORES} of {os.cpu_count()}",
        "mode": mode,
        "baseline": baseline,
    }
    if as_json:
        return json.dumps({**machine, "rows": [asdict(row) for row in rows]}, indent=2)
    headings = ("work", baseline, "flyte-ray", "ratio", "run wall", "target")
    cells = [headings, *((row.work, row.bare, row.flyte, row.ratio, row.wall, row.target) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    where = f"Python {machine['python']}, Ray {machine['ray']}, {machine['cores']} cores, {mode}"
    return "\n".join([where, lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
