"""Measure whether a tree, whose inner actions wait for their children, runs as fast as a flat fan-out."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import CORES, Bench, rates


def measure(bench: Bench, width: int = 20, depth: int = 3) -> Iterator[Figure]:
    """Grow a tree, and fan out over as many actions."""
    count = sum(width**level for level in range(depth + 1))
    bench.start(work.tree, 3, 2)
    bench.start(work.fan_out, 100)
    flat, mine = bench.turns(lambda: bench.start(work.fan_out, count)[0], work.tree, width, depth)
    title = f"tree {'x'.join([str(width)] * depth)}, {count:,} actions"
    yield Figure(title, "/s", rates(count, mine), rates(count, flat), "our flat fan-out", at_least=0.7)
    yield Figure(f"the same, its time on {CORES} cores", "s", mine, at_most=3.0)
