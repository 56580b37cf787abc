"""The tasks that the benchmarks of speed measure: mostly nothing at all, in many shapes.

A root task times its own fan-out and returns the seconds, so that the start of a run does not count into it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import flyte_ray as flyte

env = flyte.TaskEnvironment("overhead")


def burn(rounds: int) -> int:
    """Keep one core busy with pure Python; the same work in every process, however fast it goes."""
    total = 0
    for step in range(rounds):
        total = (total * 31 + step) % 1_000_003
    return total


def pause(seconds: float) -> list[float]:
    """Sleep, and return when that began and ended, in seconds since the epoch."""
    began = time.time()
    time.sleep(seconds)
    return [began, time.time()]


@env.task
def nothing(index: int) -> int:
    """Do nothing."""
    return index


@env.task
async def nothing_async(index: int) -> int:
    """Do nothing, on the loop."""
    return index


@env.task
def burning(index: int, rounds: int) -> int:
    """Keep a core busy."""
    return burn(rounds)


@env.task
def pausing(index: int, seconds: float) -> list[float]:
    """Sleep."""
    return pause(seconds)


@env.task
def hello(name: str = "world") -> str:
    """Greet."""
    return f"Hello, {name}!"


@env.task
def begun() -> float:
    """Return when this began, in seconds since the epoch."""
    return time.time()


@env.task
async def fan_out(count: int) -> float:
    """Gather `count` actions from async code; seconds."""
    start = time.perf_counter()
    done = await asyncio.gather(*(nothing.aio(index) for index in range(count)))
    assert len(done) == count
    return time.perf_counter() - start


@env.task
def map_out(count: int) -> float:
    """Map over `count` inputs from sync code; seconds."""
    start = time.perf_counter()
    assert sum(1 for _ in flyte.map(nothing, range(count), return_exceptions=False)) == count
    return time.perf_counter() - start


@env.task
def chain(count: int) -> float:
    """Call `count` actions one after the other from sync code; seconds."""
    start = time.perf_counter()
    for index in range(count):
        nothing(index)
    return time.perf_counter() - start


@env.task
async def chain_async(count: int) -> float:
    """Await `count` async actions one after the other; seconds."""
    start = time.perf_counter()
    for index in range(count):
        await nothing_async(index)
    return time.perf_counter() - start


@env.task
def descend(depth: int) -> int:
    """Call itself `depth` times, one inside the other."""
    return 1 + descend(depth - 1) if depth else 0


@env.task
async def descend_async(depth: int) -> int:
    """Do the same on the loop."""
    return 1 + await descend_async(depth - 1) if depth else 0


@env.task
def recursion(depth: int) -> float:
    """Recurse so deep; seconds."""
    start = time.perf_counter()
    assert descend(depth - 1) == depth - 1
    return time.perf_counter() - start


@env.task
async def recursion_async(depth: int) -> float:
    """Recurse so deep from async code; seconds."""
    start = time.perf_counter()
    assert await descend_async(depth - 1) == depth - 1
    return time.perf_counter() - start


@env.task
async def fan_out_begun(count: int) -> float:
    """Gather `count` actions; return when this began, in seconds since the epoch."""
    began = time.time()
    assert len(await asyncio.gather(*(nothing.aio(index) for index in range(count)))) == count
    return began


@env.task
async def branch(index: int, width: int, depth: int) -> int:
    """Gather `width` branches, or leaves at the lowest of `depth` levels; return their number and this one."""
    if depth == 1:
        return 1 + len(await asyncio.gather(*(nothing.aio(leaf) for leaf in range(width))))
    below: list[int] = await asyncio.gather(*(branch(child, width, depth - 1) for child in range(width)))
    return 1 + sum(below)


@env.task
async def tree(width: int, depth: int) -> float:
    """Grow a whole tree below this action, which counts as its root; seconds."""
    start = time.perf_counter()
    below = await asyncio.gather(*(branch(child, width, depth - 1) for child in range(width)))
    assert 1 + sum(below) == sum(width**level for level in range(depth + 1))
    return time.perf_counter() - start


@env.task
async def burn_many(count: int, rounds: int) -> float:
    """Gather `count` actions that each keep a core busy; seconds."""
    start = time.perf_counter()
    await asyncio.gather(*(burning.aio(index, rounds) for index in range(count)))
    return time.perf_counter() - start


@env.task
async def queue_behind(count: int, seconds: float) -> list[float]:
    """Call two actions that sleep behind `count` that do nothing; return began and ended of both."""
    ends: list[Any] = await asyncio.gather(
        *(nothing.aio(index) for index in range(count)), pausing.aio(0, seconds), pausing.aio(1, seconds)
    )
    return [*ends[-2], *ends[-1]]


kept = flyte.TaskEnvironment("kept", reusable=flyte.ReusePolicy(replicas=2, concurrency=100))


@kept.task
async def sleeping(index: int, seconds: float) -> int:
    """Sleep, beside others in one process."""
    await asyncio.sleep(seconds)
    return index


@env.task
async def sleep_many(count: int, seconds: float) -> int:
    """Gather `count` actions that sleep."""
    return len(await asyncio.gather(*(sleeping(index, seconds) for index in range(count))))
