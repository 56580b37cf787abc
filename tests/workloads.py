"""Tasks that the tests run in every mode; each writes what it executes to a file named by an input."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

import flyte_ray as flyte
from flyte_ray.io import Dir, File

env = flyte.TaskEnvironment("work")


def note(counts: str, text: str) -> None:
    if counts:
        with open(counts, "a") as file:
            file.write(f"{text}\n")


@env.task
def square(x: int) -> int:
    return x * x


@env.task
async def square_later(x: int) -> int:
    return int(await square.aio(x))


@env.task
async def gathered(n: int) -> list[int]:
    return list(await asyncio.gather(*(square_later(x) for x in range(n))))


@env.task
def mapped(n: int) -> int:
    return sum(flyte.map(square, range(n), return_exceptions=False))


@env.task
def only_even(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


@env.task
def maps_in_every_way(counts: str) -> list[str]:
    told = [str(list(flyte.map(square, range(7), concurrency=2)))]
    told += [f"{type(each).__name__} {each}" for each in flyte.map(only_even, range(3))]
    try:
        list(flyte.map(only_even, range(3), return_exceptions=False))
    except flyte.errors.RuntimeUserError as error:
        told.append(f"raised {error}")
    seconds = [0.0, 600.0, 600.0, 600.0]
    items = flyte.map(slow_step, range(4), seconds, [counts] * 4, concurrency=2)
    told.append(f"first {next(items)}")
    items.close()
    return told


@env.task
def mixed(n: int) -> int:
    return int(mapped(n)) + sum(asyncio.run(gathered(n)))


def through(frames: int, func: Callable[[], int]) -> int:
    return func() if frames == 0 else through(frames - 1, func)


@env.task
def recursive(depth: int, frames: int = 0) -> int:
    return 0 if depth == 0 else 1 + through(frames, lambda: int(recursive(depth - 1, frames)))


@env.task
async def fan_out(n: int) -> int:
    return sum(await asyncio.gather(*(square.aio(x) for x in range(n))))


@env.task
def slow_step(x: int, seconds: float, counts: str) -> int:
    note(counts, f"begin {x} {os.getpid()}")
    time.sleep(seconds)
    note(counts, f"end {x} {os.getpid()}")
    return x


@env.task
async def slow_steps(n: int, seconds: float, counts: str) -> int:
    return sum(await asyncio.gather(*(slow_step.aio(x, seconds, counts) for x in range(n))))


@env.task
async def slow_chain(n: int, seconds: float, counts: str) -> int:
    return sum([await slow_step.aio(x, seconds, counts) for x in range(n)])


@env.task
async def gated(counts: str, gate: str) -> int:
    note(counts, "begun")
    while not os.path.exists(gate):
        await asyncio.sleep(0.05)
    return int(await square.aio(3))


@env.task
def failing() -> int:
    raise ValueError("boom")


@env.task
def speaking() -> str:
    print("a word")
    flyte.logger.info("a line")
    flyte.logger.debug("nothing to speak of")
    return "said"


@env.task
def speaks_and_dies(marker: str) -> None:
    attempt = flyte.ctx().attempt_number
    print("attempt", attempt, flush=True)
    while attempt == 0:
        if os.path.exists(marker):
            os.kill(os.getpid(), 9)
        time.sleep(0.05)


@env.task
def suicidal(marker: str) -> int:
    path = Path(marker)
    if not path.exists():
        path.write_text("once")
        os.kill(os.getpid(), 9)
    return 7


@env.task
def crashes_later(x: int, marker: str) -> int:
    path = Path(marker)
    if not path.exists():
        path.write_text("once")
        time.sleep(0.1)  # in which its slot says that it runs
        os.kill(os.getpid(), 9)
    return x


@env.task
def survives_its_children(n: int, folder: str) -> int:
    return sum(int(crashes_later(1, f"{folder}/{x}")) for x in range(n))


@env.task
def always_crashes() -> int:
    os.kill(os.getpid(), 9)
    return 0


@env.task
def catches_what_always_crashes() -> str:
    try:
        always_crashes()
    except flyte.errors.RuntimeSystemError as error:
        return error.code
    return "it ran"


@env.task
def asks_for_too_much() -> int:
    return square.override(resources=flyte.Resources(cpu=99))(1)


@env.task
def asyncio_in_sync(depth: int) -> int:
    if depth == 0:
        return 0

    async def inner() -> int:
        return 1 + int(await asyncio_in_sync.aio(depth - 1))

    return asyncio.run(inner())


light = flyte.TaskEnvironment("light", resources=flyte.Resources(cpu=0))


@light.task
def sleeps_on_no_cpu(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


wide = flyte.TaskEnvironment("wide", resources=flyte.Resources(cpu=1, memory="300Mi"))
wider = flyte.TaskEnvironment("wider", resources=flyte.Resources(cpu=1, memory="400Mi"))


@wider.task
def needs_more() -> int:
    return 1


@wide.task
def holds_memory() -> int:
    return int(needs_more())


@env.task
def pause(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x


@env.task
async def slow_fan_out(n: int, seconds: float) -> int:
    return sum(await asyncio.gather(*(pause.aio(x, seconds) for x in range(n))))


@env.task
def own_process() -> int:
    return os.getpid()


@env.task
def stuck(counts: str, pause: float = 0.0) -> int:
    note(counts, f"stuck {os.getpid()}")
    time.sleep(pause)
    # One call into C that holds Python's lock and looks at no signal, for hours.
    return len(re.findall(r"(x+x+)+y", "x" * 60))


@env.task
def outlives_its_child(counts: str) -> int:
    try:
        stuck(counts, 0.2)  # in which its slot tells of it
    except flyte.errors.ActionAbortedError:
        note(counts, "caught")
    return int(square(3))


@flyte.trace
def paid(x: int, counts: str) -> int:
    note(counts, f"paid {x}")
    return x * x


@env.task
def dies_after_its_steps(counts: str, marker: str) -> int:
    total = sum(paid(x, counts) for x in range(3))
    if not os.path.exists(marker):
        flyte.ctx().checkpoint.save_sync(str(total).encode())
        open(marker, "w").close()
        time.sleep(0.2)  # in which its slot tells of them
        os.kill(os.getpid(), 9)
    saved = flyte.ctx().checkpoint.load_sync()
    return total + (int(saved.read_text()) if saved else 0)


@env.task
def asks() -> int:
    return int(flyte.new_condition("how-many", data_type=int).wait())


@env.task
async def asks_through_a_child(counts: str) -> int:
    note(counts, "asks")
    return int(await asks.aio()) + int(await flyte.new_condition("more", data_type=int).wait.aio())


both_cpus = flyte.TaskEnvironment("both", resources=flyte.Resources(cpu=2))


@both_cpus.task
def needs_both_cpus() -> int:
    return 2


@env.task
def needs(marker: str, counts: str) -> int:
    note(counts, "needs")
    if not os.path.exists(marker):
        raise ValueError("not there yet")
    return 1


@env.task
def steps_then_needs(n: int, marker: str, counts: str) -> int:
    return sum(slow_step(x, 0.0, counts) for x in range(n)) + int(needs(marker, counts))


@env.task
async def steps_then_waits(n: int, marker: str, counts: str) -> int:
    total = sum([await slow_step.aio(x, 0.0, counts) for x in range(n)])
    while not os.path.exists(marker):
        note(counts, "waits")
        await asyncio.sleep(0.2)
    return total


@env.task
async def waits_then_steps(n: int, marker: str, counts: str) -> int:
    while not os.path.exists(marker):
        note(counts, "waits")
        await asyncio.sleep(0.2)
    return sum([await slow_step.aio(x, 0.0, counts) for x in range(n)])


half_cpu = flyte.TaskEnvironment("half", resources=flyte.Resources(cpu="500m"))


@half_cpu.task
def half_square(x: int, counts: str) -> int:
    note(counts, "square")
    return x * x


@env.task
def rows(n: int, counts: str) -> pa.Table:
    note(counts, "rows")
    return pa.table({"x": range(n)})


@env.task
async def outlasts(root: str, counts: str) -> int:
    note(counts, "begin")
    while os.path.exists(root):
        await asyncio.sleep(0.05)
    table, square = await asyncio.gather(rows.aio(3, counts), half_square.aio(7, counts))
    return int(table.num_rows) + int(square)


@env.task(report=True)
def files_here_and_there(source: File, folder: Dir, target: str) -> list[File]:
    """Read from S3 and from the root, write to both, and say so."""
    with source.open_sync("r") as words, next(folder.walk_sync()).open_sync("r") as more:
        text = f"{words.read()} {more.read()}".upper()
    written: File = File.new_remote("out.txt")
    with written.open_sync("w") as file:
        file.write(text)
    flyte.report.log("<p>two files</p>")
    return [File.from_local_sync(written.download_sync(), target), written]
