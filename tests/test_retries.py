"""Retries as a user sees them, in the user's process."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import NonRecoverableError, RetriesExhaustedError, RuntimeUserError

env = flyte.TaskEnvironment("retries")
tries: list[float] = []


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    tries.clear()
    return tmp_path


@env.task(retries=2)
def hopeless() -> int:
    tries.append(time.monotonic())
    raise ValueError("boom")


@env.task
def asks_the_hopeless() -> str:
    try:
        hopeless()
    except RetriesExhaustedError as error:
        cause = error.__cause__
        return f"{error} | {type(cause).__name__} | {type(cause.__cause__ if cause else None).__name__}"
    return ""


@env.task(retries=flyte.RetryStrategy(3, retry_on=(ConnectionError,)))
def connects(failing_with: str) -> int:
    tries.append(time.monotonic())
    if len(tries) < 3:
        raise {"reset": ConnectionResetError, "value": ValueError}[failing_with](failing_with)
    return len(tries)


@env.task(retries=5)
def non_recoverable() -> int:
    tries.append(time.monotonic())
    raise NonRecoverableError("never again")


@env.task(retries=flyte.RetryStrategy(2, flyte.Backoff(timedelta(seconds=0.3), 10.0, cap=timedelta(seconds=0.6))))
async def backs_off() -> int:
    tries.append(time.monotonic())
    if len(tries) < 3:
        raise ValueError("not yet")
    return len(tries)


def test_used_up_retries_say_so_and_keep_the_last_error() -> None:
    with pytest.raises(RetriesExhaustedError, match="all 3 attempts failed, the last one with ValueError: boom") as got:
        flyte.run(hopeless).outputs()
    assert len(tries) == 3
    assert isinstance(got.value.__cause__, RuntimeUserError) and got.value.__cause__.code == "ValueError"


def test_a_parent_gets_the_original_exception_as_cause() -> None:
    assert flyte.run(asks_the_hopeless).outputs() == (
        "all 3 attempts failed, the last one with ValueError: boom | RuntimeUserError | ValueError",
    )


def test_an_exception_among_retry_on_is_retried_also_a_subclass() -> None:
    assert flyte.run(connects, "reset").outputs() == (3,)


def test_another_exception_than_retry_on_fails_at_once() -> None:
    with pytest.raises(RuntimeUserError, match="value") as caught:
        flyte.run(connects, "value").outputs()
    assert (caught.value.code, len(tries)) == ("ValueError", 1)


def test_a_non_recoverable_error_is_not_retried() -> None:
    with pytest.raises(NonRecoverableError, match="never again"):
        flyte.run(non_recoverable).outputs()
    assert len(tries) == 1


def test_the_wait_between_attempts_grows_up_to_its_cap() -> None:
    assert flyte.run(backs_off).outputs() == (3,)
    first, second = tries[1] - tries[0], tries[2] - tries[1]
    assert 0.3 <= first < 0.6 <= second < 1.5
