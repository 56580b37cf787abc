"""Measure what actions that only wait take where kept processes run them beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import Bench

ACTIONS, SECONDS = 200, 1.0


def measure(bench: Bench, actions: int = ACTIONS, seconds: float = SECONDS) -> Iterator[Figure]:
    """Sleep in two processes that are warm, a hundred actions in each; from the start of the run to its end."""
    bench.start(work.sleep_many, 2, 0.0)
    mine = [bench.start(work.sleep_many, actions, seconds)[1] for _ in range(bench.repeat)]
    title = f"{actions} actions of {seconds:g} s sleep on ReusePolicy(replicas=2, concurrency=100)"
    yield Figure(title, "s", mine, [seconds] * len(mine), "one sleep", at_most=1.3)
