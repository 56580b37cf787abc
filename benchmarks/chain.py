"""Measure what a step costs where one action follows another, beside a bare Ray task and its `ray.get`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import ray

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import BARE, Bench, bare_nothing


def measure(bench: Bench, steps: int = 500, depth: int = 200) -> Iterator[Figure]:
    """Call one action after the other, and one inside the other."""
    for title, task in (("sync calls", work.chain), ("async awaits", work.chain_async)):
        bench.start(task, 10)
        bare_chain(10)
        theirs, mine = bench.turns(partial(bare_chain, steps), task, steps)
        yield Figure(
            f"chain of {steps}, {title}, per step",
            "ms",
            [1000 * seconds / steps for seconds in mine],
            [1000 * seconds / steps for seconds in theirs],
            BARE,
            at_most=0.1,
        )
    for title, chain, recursion, most in (
        ("async", work.chain_async, work.recursion_async, 3.0),
        ("sync: 64 on a stack, the others in more processes", work.chain, work.recursion, None),
    ):
        bench.start(recursion, 10)
        theirs, mine = bench.turns(partial(inside, bench, chain, depth), recursion, depth)
        yield Figure(f"recursion of depth {depth}, {title}", "s", mine, theirs, f"our chain of {depth}", at_most=most)


def inside(bench: Bench, task: Any, *args: Any) -> float:
    """Run a task that measures itself; seconds."""
    return bench.start(task, *args)[0]


def bare_chain(count: int) -> float:
    """Submit and get `count` bare Ray tasks one after the other; seconds."""
    start = time.perf_counter()
    for index in range(count):
        ray.get(bare_nothing.remote(index))
    return time.perf_counter() - start
