"""Measure what a step costs where one action follows another, beside a bare Ray task and its `ray.get`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import ray

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import BARE, Bench, bare_nothing

STEPS, DEPTH = 500, 200


def measure(bench: Bench) -> Iterator[Figure]:
    """Call one action after the other, and one inside the other."""
    for title, task in (("sync calls", work.chain), ("async awaits", work.chain_async)):
        bench.start(task, 10)
        bare_chain(10)
        theirs, mine = bench.turns(lambda: bare_chain(STEPS), task, STEPS)
        yield Figure(
            f"chain of {STEPS}, {title}, per step",
            "ms",
            [1000 * seconds / STEPS for seconds in mine],
            [1000 * seconds / STEPS for seconds in theirs],
            BARE,
            at_most=0.1,
        )
    for title, chain, recursion, most in (
        ("async", work.chain_async, work.recursion_async, 3.0),
        ("sync: 64 on a stack, the others in more processes", work.chain, work.recursion, None),
    ):
        bench.start(recursion, 10)
        theirs, mine = bench.turns(lambda chain=chain: bench.start(chain, DEPTH)[0], recursion, DEPTH)
        yield Figure(f"recursion of depth {DEPTH}, {title}", "s", mine, theirs, f"our chain of {DEPTH}", at_most=most)


def bare_chain(count: int) -> float:
    """Submit and get `count` bare Ray tasks one after the other; seconds."""
    start = time.perf_counter()
    for index in range(count):
        ray.get(bare_nothing.remote(index))
    return time.perf_counter() - start
