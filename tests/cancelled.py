"""Tasks that are stopped, and what they start: processes that slots on Ray import by this module's name."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import subprocess
import time
from pathlib import Path

import flyte_ray as flyte
from tests.workloads import note

env = flyte.TaskEnvironment("cancelled")
started: list[subprocess.Popen[bytes]] = []
started_later: list[asyncio.subprocess.Process] = []
"""Kept, because Python warns of one that is forgotten while it runs."""


def command(counts: str) -> list[str]:
    """A shell with two children, one of which it waits for; each notes its id."""
    return [
        "sh",
        "-c",
        f'sleep 600 & echo "process $!" >> {counts}; sh -c \'echo "process $$" >> {counts}; sleep 600\'',
    ]


def processes(counts: Path) -> list[int]:
    """The ids that were noted."""
    return [int(word) for word in re.findall(r"process (\d+)", counts.read_text())] if counts.exists() else []


def lives(process: int) -> bool:
    """Whether a process goes on; one that has ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(done: object, what: str) -> None:
    """Wait for a condition; `done` is called."""
    deadline = time.monotonic() + 60
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@env.task
def waits_for_a_process(counts: str) -> int:
    started.append(subprocess.Popen(command(counts)))
    note(counts, f"process {started[-1].pid}")
    return started[-1].wait()


@env.task
async def waits_for_a_process_later(counts: str) -> int:
    child = await asyncio.create_subprocess_exec(*command(counts))
    started_later.append(child)
    note(counts, f"process {child.pid}")
    return await child.wait()


@env.task
async def sleeps(counts: str) -> int:
    note(counts, f"began {flyte.ctx().action_name}")
    try:
        await asyncio.sleep(600)
    finally:
        note(counts, "cleaned up")
    return 1


@env.task
async def sleeps_below(counts: str) -> int:
    return int(await sleeps(counts))


@env.task
async def gives_up_a_call(counts: str) -> str:
    call = asyncio.ensure_future(sleeps_below(counts))
    while not (os.path.exists(counts) and "began" in Path(counts).read_text()):
        await asyncio.sleep(0.02)
    call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        return "went on"
    return "it was not cancelled"


@env.task
async def ends_before_its_child(counts: str) -> str:
    call = asyncio.ensure_future(sleeps_below(counts))
    while not (os.path.exists(counts) and "began" in Path(counts).read_text()):
        await asyncio.sleep(0.02)
    assert not call.done()
    return "done"


@env.task
async def gives_itself_up() -> int:
    raise asyncio.CancelledError("not today")


@env.task
async def keeps_its_own_process(counts: str, is_async: bool) -> str:
    own = await asyncio.create_subprocess_exec("sleep", "600")
    call = asyncio.ensure_future(waits_for_a_process_later(counts) if is_async else waits_for_a_process.aio(counts))
    while len(processes(Path(counts))) < 3:
        await asyncio.sleep(0.02)
    call.cancel()
    await asyncio.wait([call])
    while any(lives(process) for process in processes(Path(counts))):
        await asyncio.sleep(0.02)
    try:
        return "lives" if own.returncode is None and lives(own.pid) else "ended"
    finally:
        own.kill()
        await own.wait()


@env.task
def stuck_with_processes(counts: str) -> int:
    """Starts processes in all ways, and is stopped by nothing but the end of its slot's process."""
    started.append(subprocess.Popen(command(counts)))
    started.append(subprocess.Popen(command(counts), start_new_session=True))
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    forked.start()
    note(counts, f"process {forked.pid}")
    note(counts, f"slot {os.getpid()}")
    while len(processes(Path(counts))) < 5:
        time.sleep(0.02)
    note(counts, "stuck")
    # One call into C that holds Python's lock and looks at no signal, for hours.
    return len(re.findall(r"(x+x+)+y", "x" * 60))


@env.task
def leaves_a_process(counts: str) -> int:
    started.append(subprocess.Popen(["sleep", "600"]))
    note(counts, f"process {started[-1].pid}")
    return 1
