"""A run in which everything happens that a log can tell; `python -m tests.golden.story FOLDER` records it there.

Run it when `FORMAT` in `ledger/events.py` rises, with `tests/golden/format-<number>` as the folder, and commit what it
writes: `test_golden.py` reads every format that was ever recorded.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

import flyte_ray as flyte
from flyte_ray.errors import BaseRuntimeError
from flyte_ray.ledger import blocks
from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests.golden.telling import tell

RUN = RunId("story")
env = flyte.TaskEnvironment("story")


@flyte.trace
def draw(low: int) -> float:
    return low + random.random()


@env.task(retries=1)
def second_time_lucky(x: int) -> int:
    draw(x)
    print("tried")
    if flyte.ctx().attempt_number == 0:
        raise ValueError("the first attempt fails")
    return x


@env.task(cache=flyte.Cache("override", "1"))
def kept(x: int) -> int:
    return x + 1


@env.task
def fails(x: int) -> int:
    raise KeyError(f"no {x}")


@env.task(timeout=flyte.Timeout(max_runtime=timedelta(seconds=0.2)))
async def late() -> None:
    await asyncio.sleep(60)


@env.task
async def endless() -> None:
    await asyncio.sleep(60)


@env.task(retries=1)
def wavers() -> int:
    attempt = flyte.ctx().attempt_number
    found = fast(attempt)
    if not attempt:
        raise ValueError("the second attempt calls something else")
    return found


@env.task
def fast(x: int) -> int:
    return x


@env.task
def large(n: int) -> list[str]:
    return [f"row {x}" for x in range(n)]


@env.task
async def story(n: int) -> int:
    with flyte.group("numbers"):
        found = sum(await asyncio.gather(*(kept.aio(x % 2) for x in range(n))))
    found += await second_time_lucky.aio(3)
    found += await wavers.aio() + len(await large.aio(10_000))
    for task in (fails.aio(1), late.aio()):
        try:
            await task
        except BaseRuntimeError:
            found += 1
    try:
        await flyte.new_condition("nobody-answers", data_type=int, timeout=0.2).wait.aio()
    except BaseRuntimeError:
        found += 1
    approval = flyte.new_condition("approval")
    while (asked := flyte.remote.Condition.get("approval", run_name=flyte.ctx().run_name)) is None:
        await asyncio.sleep(0.05)
    asked.signal(True)
    found += await approval.wait.aio()
    call = asyncio.ensure_future(endless.aio())
    await asyncio.sleep(0.2)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    return found


def record(folder: Path) -> None:
    """Run the story with its record in `folder`, and write beside it what it should tell."""
    shutil.rmtree(folder, ignore_errors=True)
    flyte.init(root=folder)
    flyte.with_runcontext("local", name="before").run(kept, x=1)
    with mock.patch.object(blocks, "BLOCK", 3):  # else only long logs are packed
        flyte.with_runcontext("local", name=RUN, labels={"golden": "yes"}).run(story, n=4)
    flyte.with_runcontext("local", name="after").rerun(RUN, recover=True)
    time.sleep(1.0)  # the snapshot is written after the run's end is told
    for run in (RUN, RunId("after")):
        told = json.dumps(tell(load_state(open_store(folder), run)), indent=1)
        (folder / f"told-{run}.json").write_text(told + "\n")


def main(folder: Path) -> None:
    """Record from a copy in a neutral place, whose path may stand in the record."""
    with tempfile.TemporaryDirectory(prefix="golden-") as place:
        shutil.copytree(Path(__file__).parent.parent, Path(place, "tests"), ignore=shutil.ignore_patterns("format-*"))
        Path(place, "pyproject.toml").touch()
        code = f"from pathlib import Path; from tests.golden.story import record; record(Path({str(folder)!r}))"
        environ = {**os.environ, "PYTHONPATH": f"{place}:{Path(__file__).parents[2]}"}
        subprocess.run([sys.executable, "-c", code], cwd=place, env=environ, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
