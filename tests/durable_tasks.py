"""Tasks that the tests of durability on Ray run; what must not happen twice is written to a file named by an input."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import flyte_ray as flyte
from flyte_ray.errors import BaseRuntimeError, NonRecoverableError
from tests.workloads import note, square

env = flyte.TaskEnvironment("durable")


def die_at_first(marker: str) -> None:
    """Kill this process, and so the slot, in the first attempt."""
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


@env.task
def changes_its_mind(marker: str) -> int:
    # Of two calls the ledger knows before they run; of a single one this slot would be to tell it.
    total = sum(flyte.map(square, [4, 4] if os.path.exists(marker) else [3, 3], return_exceptions=False))
    die_at_first(marker)
    return total


@env.task(cache=flyte.Cache("auto", ignored_inputs=("counts",), serialize=True))
def kept(x: int, seconds: float, counts: str) -> int:
    note(counts, "computes")
    time.sleep(seconds)
    return x * x


@env.task
async def draws(counts: str, marker: str) -> float:
    """Return how long a durable sleep of a second took in the last attempt."""
    drawn = [flyte.durable.time(), flyte.durable.now(), flyte.durable.random(), flyte.durable.uuid()]
    note(counts, repr(drawn))
    began = time.monotonic()
    await flyte.durable.sleep.aio(1.0)
    slept = time.monotonic() - began
    await tell()
    die_at_first(marker)
    return slept


async def tell() -> None:
    """Have the ledger know all that this action did: two children are asked for, and run when it has heard of them."""
    await asyncio.gather(square.aio(1), square.aio(2))


@flyte.trace
async def later(x: int, counts: str) -> int:
    note(counts, f"later {x}")
    await asyncio.sleep(0)
    return x


@flyte.trace
def items(n: int, counts: str) -> Iterator[int]:
    note(counts, "items")
    yield from range(n)


@flyte.trace
async def items_later(n: int, counts: str) -> AsyncIterator[int]:
    note(counts, "items_later")
    for index in range(n):
        yield index


@env.task
async def traces(counts: str, marker: str) -> list[int]:
    found = [await later(7, counts), *items(2, counts), *[item async for item in items_later(3, counts)]]
    await tell()
    die_at_first(marker)
    return found


@env.task(retries=flyte.RetryStrategy(2, flyte.Backoff(timedelta(seconds=0.3), 2.0, timedelta(seconds=5))))
def backs_off(counts: str) -> int:
    note(counts, str(time.monotonic()))
    if flyte.ctx().attempt_number < 2:
        raise ValueError("not yet")
    return flyte.ctx().attempt_number


@env.task(retries=1)
def hopeless(counts: str) -> int:
    note(counts, "hopeless")
    raise ValueError("boom")


@env.task(retries=5)
def for_good(counts: str) -> int:
    note(counts, "for good")
    raise NonRecoverableError("never again")


@env.task(retries=flyte.RetryStrategy(5, retry_on=(ConnectionError,)))
def of_another_kind(counts: str) -> int:
    note(counts, "of another kind")
    raise ValueError("no connection was asked for")


@env.task
def fails_in_every_way(counts: str) -> list[str]:
    """Return the classes of its children's errors."""
    found = []
    for task in (hopeless, for_good, of_another_kind):
        try:
            task(counts)
        except BaseRuntimeError as error:
            found.append(type(error).__name__)
    return found
