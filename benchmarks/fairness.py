"""Measure how long a new run waits for its first action beside a run that has 100,000 actions queued."""

from __future__ import annotations

import time
from collections.abc import Iterator

import flyte_ray as flyte
from benchmarks import work
from benchmarks.cpu import rounds_of
from benchmarks.figures import Figure
from benchmarks.measuring import Bench


def measure(bench: Bench, queued: int = 100_000, milliseconds: int = 10, times: int = 9) -> Iterator[Figure]:
    """Begin an action in a run of its own, alone and while all cores compute for another run."""
    if bench.mode == "local":
        return  # each local run has threads of its own
    begin(bench)
    alone = [begin(bench) for _ in range(times)]
    large = flyte.with_runcontext("remote").run(work.burn_many, queued, rounds_of(milliseconds / 1000))
    try:
        while sum((large.look() or {"counts": {}})["counts"].values()) < queued:
            time.sleep(0.2)
        begin(bench)  # may meet the large run's second process while that starts, and waits for it
        beside = [begin(bench) for _ in range(times)]
    finally:
        large.abort("measured")
        large.wait()
    delays = [1000 * (mine - sorted(alone)[times // 2]) for mine in beside]
    yield Figure(f"first action of a new run beside {queued:,} queued ones: delay", "ms", delays, at_most=200.0)


def begin(bench: Bench) -> float:
    """Start a run; return the seconds until the code of its first action begins."""
    start = time.time()
    return float(bench.start(work.begun)[0]) - start
