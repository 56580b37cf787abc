"""Measure whether short actions that compute keep all cores busy, and long ones behind short ones run side by side."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Iterator
from functools import partial
from typing import Any

import ray

from benchmarks import work
from benchmarks.figures import Figure
from benchmarks.measuring import BARE, CORES, Bench, rates, seconds_of

ONE = "1 plain process"
AT_LEAST = 1.7
"""Of what one core does."""
bare_burn: Any = ray.remote(work.burn)


def measure(
    bench: Bench, sizes: tuple[tuple[int, int], ...] = ((1_000, 10), (200, 50)), ahead: int = 1_000
) -> Iterator[Figure]:
    """Compute in actions of 10 and of 50 ms; queue two that sleep behind many short ones."""
    bench.start(work.burn_many, 10, 1)
    ray.get([bare_burn.remote(1) for _ in range(10)])
    for count, milliseconds in sizes:
        rounds = rounds_of(milliseconds / 1000)
        title = f"{count:,} x {milliseconds} ms of CPU"
        alone: list[float] = []
        plain = partial(plainly, count, rounds, alone)
        ideal, mine = bench.turns(plain, work.burn_many, count, rounds)
        yield Figure(title, "/s", rates(count, mine), rates(count, ideal), f"{CORES} plain processes", at_least=0.9)
        yield Figure(f"{title}, x of one core", "/s", rates(count, mine), alone, "1 plain process", at_least=1.7)
        # Once only: it takes as long as the others, and says the same each time.
        yield Figure(title, "s", [statistics.median(mine)], [bare_many(count, rounds)], BARE)
    overlaps = [overlap(bench.start(work.queue_behind, ahead, 2.0)[0]) for _ in range(bench.repeat)]
    yield Figure(f"two of 2 s behind {ahead:,} that do nothing: time in which both run", "s", overlaps, at_least=1.0)


def plainly(count: int, rounds: int, alone: list[float]) -> float:
    """Do a part of the work in one plain process, noting its rate, and then all in one per core; seconds of that."""
    part = max(count // 5, 1)
    alone.append(part / side_by_side(part, rounds, 1))
    return side_by_side(count, rounds)


def bare_many(count: int, rounds: int) -> float:
    """Compute in as many bare Ray tasks; seconds."""
    return seconds_of(lambda: ray.get([bare_burn.remote(rounds) for _ in range(count)]))


def rounds_of(seconds: float) -> int:
    """Return how many rounds of `work.burn` take so long on one core."""
    rounds = 100_000
    return int(rounds * seconds / min(seconds_of(lambda: work.burn(rounds)) for _ in range(5)))


def side_by_side(count: int, rounds: int, cores: int = CORES) -> float:
    """Have one plain process per core do the same work, without anything between its parts; seconds."""
    processes = [
        multiprocessing.get_context("fork").Process(target=burn_all, args=(count // cores, rounds))
        for _ in range(cores)
    ]

    def run() -> None:
        for process in processes:
            process.start()
        for process in processes:
            process.join()

    return seconds_of(run)


def burn_all(count: int, rounds: int) -> None:
    """Compute many times."""
    for _ in range(count):
        work.burn(rounds)


def overlap(times: list[float]) -> float:
    """Return for how many seconds two stretches of time ran together."""
    began, ended, other_began, other_ended = times
    return max(0.0, min(ended, other_ended) - max(began, other_began))
