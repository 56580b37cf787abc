"""Tasks of environments whose processes are kept."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import flyte_ray as flyte

one = flyte.TaskEnvironment("one", reusable=flyte.ReusePolicy(1, idle_ttl=600, scaledown_ttl=600))
shared = flyte.TaskEnvironment("shared", reusable=flyte.ReusePolicy(2, 600, 100, 600))
crowd = flyte.TaskEnvironment("crowd", reusable=flyte.ReusePolicy(replicas=1, concurrency=100))
of_run = flyte.TaskEnvironment("of_run", reusable=flyte.ReusePolicy(replicas=1, scope="run"))
plain = flyte.TaskEnvironment("plain")
loaded: list[float] = []


def model() -> float:
    """Load what takes long, once per process."""
    if not loaded:
        loaded.append(time.time())
    return loaded[0]


@one.task
def uses_model(number: int) -> list[float]:
    return [os.getpid(), model()]


@one.task
def calls_its_like(number: int) -> list[int]:
    """The only process serves a parent and its children, one of them by way of another environment."""
    return [os.getpid(), int(uses_model(number)[0]), by_way_of_another(number)]


@plain.task
def by_way_of_another(number: int) -> int:
    return int(uses_model(number + 1)[0])


@plain.task
def uses_it_without(number: int) -> list[int]:
    alone = uses_model.override(reusable="off")
    return [int(uses_model(number)[0]), int(alone(number)[0])]


@of_run.task
def process_of_run(number: int) -> int:
    return os.getpid()


@plain.task
def twice_in_one_run(number: int) -> list[int]:
    return [process_of_run(number), process_of_run(number + 1)]


@shared.task
async def naps(number: int) -> int:
    await asyncio.sleep(1)
    return os.getpid()


@plain.task
async def many_naps(count: int) -> list[int]:
    return await asyncio.gather(*map(naps, range(count)))


@crowd.task
async def waits_for(path: str) -> int:
    while not os.path.exists(path):
        await asyncio.sleep(0.02)
    return os.getpid()


@crowd.task
async def comes_and_goes(number: int) -> int:
    return os.getpid()


@shared.task
async def crashes_once(path: str) -> int:
    if not os.path.exists(path):
        with open(path, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@plain.task
async def naps_beside_a_crash(path: str) -> int:
    found = await asyncio.gather(crashes_once(path), *map(naps, range(20)))
    return len(found)


@one.task
def sleeps(seconds: float, begun: str = "") -> int:
    if begun:
        with open(begun, "w"):
            pass
    time.sleep(seconds)
    return os.getpid()


@plain.task
async def keeps_it_busy(seconds: float) -> int:
    """More than a second's work at a time for ever, as far as the caller of the next run knows."""
    return len(await asyncio.gather(*(sleeps.aio(1 + number / 1000) for number in range(int(seconds)))))


@one.task
def catches_a_timeout(number: int) -> int:
    try:
        sleeps.override(timeout=1)(600.0)
    except flyte.errors.TaskTimeoutError:
        return os.getpid()
    return 0


@plain.task
def runs_plainly(number: int) -> int:
    return number


held = flyte.TaskEnvironment(
    "held", resources=flyte.Resources(memory="300Mi"), reusable=flyte.ReusePolicy(replicas=1, concurrency=1)
)


@held.task(timeout=60)
def in_memory(number: int) -> int:
    return os.getpid()


@plain.task
def by_way_of_memory(number: int) -> int:
    return in_memory(number)


@held.task
def calls_its_like_in_memory(number: int) -> list[int]:
    return [os.getpid(), in_memory(number), by_way_of_memory(number + 1)]
