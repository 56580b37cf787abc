"""Measure whether a tree, whose inner actions wait for their children, runs as fast as a flat fan-out."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import Bench

WIDTH, DEPTH = 20, 3
COUNT = sum(WIDTH**level for level in range(DEPTH + 1))


def measure(bench: Bench) -> Iterator[Figure]:
    """Grow a tree, and fan out over as many actions."""
    bench.start(work.tree, 3, 2)
    bench.start(work.fan_out, 100)
    flat, mine = bench.turns(lambda: bench.start(work.fan_out, COUNT)[0], work.tree, WIDTH, DEPTH)
    title = f"tree {'x'.join([str(WIDTH)] * DEPTH)}, {COUNT:,} actions"
    rates = [[COUNT / seconds for seconds in side] for side in (mine, flat)]
    yield Figure(title, "/s", *rates, "our flat fan-out", at_least=0.7)
    yield Figure(f"the same, its time on {bench.cores} cores", "s", mine, at_most=3.0)
