"""Measure how many actions per second a fan-out runs, beside as many bare Ray tasks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import BARE, Bench, bare_tasks, rates

REACH = {work.fan_out: 15.0, work.map_out: 10.0}


def measure(bench: Bench, counts: tuple[int, ...] = (1_000, 10_000)) -> Iterator[Figure]:
    """Gather actions that do nothing from async code, and map over them from sync code."""
    for title, task in (("async gather", work.fan_out), ("sync map", work.map_out)):
        bench.start(task, 100)
        bare_tasks(100)
        for count in counts:
            theirs, mine = bench.turns(partial(bare_tasks, count), task, count)
            yield Figure(
                f"fan-out of {count:,}, {title}",
                "/s",
                rates(count, mine),
                rates(count, theirs),
                BARE,
                at_least=REACH[task] if count == 10_000 else None,
            )
