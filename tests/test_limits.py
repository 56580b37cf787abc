"""Time limits as a user sees them, in the user's process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.errors import DeadlineExceededError, MaxRuntimeExceededError, TaskTimeoutError
from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

env = flyte.TaskEnvironment("limits")
seen: list[str] = []
go_on = [True]


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    seen.clear()
    go_on[0] = True
    return tmp_path


@env.task(timeout=1)
def sleeps() -> int:
    try:
        time.sleep(30)
    finally:
        seen.append("cleaned up")
    return 1


@env.task(timeout=1)
async def sleeps_later() -> int:
    try:
        await asyncio.sleep(30)
    finally:
        seen.append("cleaned up")
    return 1


@env.task(timeout=1)
def spins() -> int:
    while go_on[0]:
        pass
    return 1


@env.task
def catches_its_childs_timeout() -> str:
    try:
        spins()
    except MaxRuntimeExceededError as error:
        return str(error)
    return "no error"


@env.task(timeout=1, retries=1)
async def slow_at_first() -> int:
    seen.append("began")
    if len(seen) == 1:
        await asyncio.sleep(30)
    return len(seen)


@env.task(timeout=1, retries=flyte.RetryStrategy(3, retry_on=(ValueError,)))
async def slow_and_picky() -> int:
    seen.append("began")
    await asyncio.sleep(30)
    return 1


@env.task(timeout=flyte.Timeout(max_runtime=1, deadline=2), retries=100)
async def late_in_every_attempt() -> int:
    seen.append("began")
    await asyncio.sleep(30)
    return 1


@env.task
async def quick(x: int) -> int:
    return x


@env.task(timeout=20)
async def has_time_for_its_children(n: int) -> int:
    return sum([await quick(x) for x in range(n)]) + sum(await asyncio.gather(*(quick(x) for x in range(n))))


@pytest.mark.parametrize("task", [sleeps, sleeps_later])
def test_an_attempt_that_takes_too_long_is_stopped_and_cleans_up(task: Any, root: Path) -> None:
    began = time.monotonic()
    run = flyte.run(task)
    with pytest.raises(TaskTimeoutError, match=r"max_runtime=1 s.*Give it more time"):
        run.outputs()
    assert time.monotonic() - began < 25
    assert seen == ["cleaned up"]
    assert run.phase.value == "timed_out"
    assert load_state(open_store(root), RunId(run.name)).root.attempts == 1


def test_a_thread_that_cannot_be_stopped_is_abandoned_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    assert "max_runtime=1 s" in flyte.run(catches_its_childs_timeout).outputs()[0]
    assert time.monotonic() - began < 25
    go_on[0] = False


def test_a_timed_out_attempt_is_retried_like_a_failed_one() -> None:
    assert flyte.run(slow_at_first).outputs() == (2,)


def test_a_time_limit_is_retried_only_where_retry_on_names_it() -> None:
    with pytest.raises(MaxRuntimeExceededError):
        flyte.run(slow_and_picky).outputs()
    assert seen == ["began"]


def test_a_deadline_ends_all_retries() -> None:
    with pytest.raises(DeadlineExceededError, match="deadline=2 s"):
        flyte.run(late_in_every_attempt).outputs()
    assert 1 <= len(seen) <= 2


def test_a_limited_task_calls_its_children_as_ever() -> None:
    assert flyte.run(has_time_for_its_children, 20).outputs() == (380,)
