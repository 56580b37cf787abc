"""The tasks that `durability.py` measures: roots that time what durability adds and return the seconds."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import flyte_ray as flyte
from benchmarks.work import begun, env, nothing


@env.task(cache=flyte.Cache("override", version_override="1"))
def kept(index: int) -> int:
    """Do nothing, and keep the outcome."""
    return index


@env.task
async def ask_kept(count: int) -> float:
    """Gather `count` actions whose outcomes may be kept; seconds."""
    start = time.perf_counter()
    assert sum(await asyncio.gather(*(kept.aio(index) for index in range(count)))) == sum(range(count))
    return time.perf_counter() - start


@flyte.trace
def step(index: int) -> int:
    """Do nothing, as a step."""
    return index


@flyte.trace
async def step_later(index: int) -> int:
    """Do nothing, as an async step."""
    return index


def plain(index: int) -> int:
    """Do nothing."""
    return index


@env.task
def trace(count: int) -> list[float]:
    """Call a function `count` times, plainly with its results kept in a dict, and as steps; seconds of each."""
    start = time.perf_counter()
    memo: dict[int, int] = {}
    for index in range(count):
        if index not in memo:
            memo[index] = plain(index)
    middle = time.perf_counter()
    for index in range(count):
        step(index)
    return [middle - start, time.perf_counter() - middle]


@env.task
async def trace_later(count: int) -> float:
    """Await an async step `count` times; seconds."""
    start = time.perf_counter()
    for index in range(count):
        await step_later(index)
    return time.perf_counter() - start


@env.task(retries=1)
def trace_again(count: int) -> float:
    """Call a function `count` times as steps that an earlier attempt has recorded; seconds."""
    start = time.perf_counter()
    for index in range(count):
        step(index)
    if flyte.ctx().attempt_number == 0:
        raise ValueError("the first attempt only records")
    return time.perf_counter() - start


@env.task
async def cut_off(count: int, marker: str) -> float:
    """Gather `count` actions and fail, unless the file `marker` exists; then return when one more action began."""
    await asyncio.gather(*(nothing.aio(index) for index in range(count)))
    if not Path(marker).exists():
        raise ValueError("this run is to be resumed")
    return await begun.aio()
