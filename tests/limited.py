"""Tasks with limits, which slots on Ray import by this module's name."""

from __future__ import annotations

import asyncio
import os
import re
import time

import flyte_ray as flyte
from tests.workloads import note

env = flyte.TaskEnvironment("limited")


@env.task(timeout=2)
def sleeps(counts: str) -> int:
    try:
        time.sleep(120)
    finally:
        note(counts, "cleaned up")
    return 1


@env.task(timeout=2)
async def never_yields(counts: str) -> int:
    note(counts, "spins")
    while True:
        pass


@env.task(timeout=2)
def stuck_in_c() -> int:
    # One call into C that holds Python's lock and looks at no signal, for hours; nothing comes before it.
    return len(re.findall(r"(x+x+)+y", "x" * 60))


@env.task
async def goes_on_without_them(counts: str) -> list[str]:
    calls = [sleeps.aio(counts=counts), never_yields(counts), stuck_in_c.aio()]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    return [type(end).__name__ for end in ends]


@env.task(timeout=2, retries=1)
def stuck_at_first(counts: str) -> int:
    note(counts, "began")
    with open(counts) as file:
        attempts = file.read().count("began")
    return attempts if attempts > 1 else len(re.findall(r"(x+x+)+y", "x" * 60))


@env.task(timeout=flyte.Timeout(max_runtime=2, deadline=5), retries=100)
def late_in_every_attempt() -> int:
    time.sleep(120)
    return 1


crowded = flyte.TaskEnvironment("crowded", resources=flyte.Resources(cpu=2))


@crowded.task
def occupies(seconds: float) -> int:
    time.sleep(seconds)
    return 1


@crowded.task(timeout=flyte.Timeout(max_queued_time=1))
def queued() -> int:
    return 1


@env.task
async def queues_behind(seconds: float) -> str:
    before = asyncio.ensure_future(occupies.aio(seconds))
    await asyncio.sleep(seconds / 2)
    try:
        await queued.aio()
    except flyte.errors.MaxQueuedTimeExceededError as error:
        return type(error).__name__
    finally:
        await before
    return "it ran"


small = flyte.TaskEnvironment("small", resources=flyte.Resources(cpu=0.5, memory="200Mi"))
growing = flyte.TaskEnvironment("growing", resources=flyte.Resources(cpu=0.5, memory=("200Mi", "800Mi")))


@small.task
def takes_too_much() -> int:
    taken = bytearray(300 * 1024**2)
    taken[::1024] = b"x" * len(taken[::1024])
    time.sleep(60)
    return len(taken)


fits = flyte.TaskEnvironment("fits", resources=flyte.Resources(cpu=0.5, memory="300Mi"))
left: list[bytearray] = []


def filled(size: int) -> bytearray:
    taken = bytearray(size)
    taken[::1024] = b"x" * len(taken[::1024])
    return taken


@fits.task
def holds(depth: int) -> list[int]:
    taken = filled(120 * 1024**2)
    below = holds(depth - 1) if depth else []
    time.sleep(0.3)  # in which its memory is looked at
    return [os.getpid(), *below] if taken else []


@fits.task
def leaves_its_memory(x: int) -> int:
    left.append(filled(120 * 1024**2))
    time.sleep(0.3)
    return x


@env.task
def one_after_another(n: int) -> int:
    return sum(int(leaves_its_memory(x)) for x in range(n))


@env.task
def takes_most_of_the_node(part: float) -> int:
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    step = 64 * 1024**2
    taken = [filled(step)]
    while len(taken) * step < part * total:
        taken.append(filled(step))
    time.sleep(60)
    return len(taken)


@env.task
async def beside_one_that_takes_too_much(part: float) -> str:
    neighbour = asyncio.ensure_future(waits_a_while.aio(4.0))
    try:
        await takes_most_of_the_node.aio(part)
    except flyte.errors.OOMError as error:
        assert await neighbour == "undisturbed"
        return str(error)
    return "it ran"


@env.task
def waits_a_while(seconds: float) -> str:
    time.sleep(seconds)
    return "undisturbed"


@growing.task(retries=flyte.RetryStrategy(0, on_oom="grow"))
def needs_500_mib() -> int:
    taken = bytearray(400 * 1024**2)
    taken[::1024] = b"x" * len(taken[::1024])
    time.sleep(1)
    return flyte.ctx().attempt_number
