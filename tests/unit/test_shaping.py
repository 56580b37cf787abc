"""Whether a task prefers spot nodes: the run says it, else the task, else the environment."""

from __future__ import annotations

import json
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.shaping import shaping_of

plain = flyte.TaskEnvironment("plain")
cheap = flyte.TaskEnvironment("cheap", interruptible=True)
warm = flyte.TaskEnvironment("warm", interruptible=True, reusable=flyte.ReusePolicy())


@plain.task
def stays() -> None: ...


@plain.task(interruptible=True)
def may_go() -> None: ...


@cheap.task
def goes() -> None: ...


@cheap.task(interruptible=False)
def must_stay() -> None: ...


@warm.task(interruptible=False)
def in_a_pool() -> None: ...


def selector(task: Any, of_run: bool | None = None) -> Any:
    shape = shaping_of(None, {"interruptible": of_run})(task.spec)
    return json.loads(shape.options).get("label_selector")


SPOT = {"ray.io/market-type": "spot"}


@pytest.mark.parametrize(
    ("task", "prefers"),
    [
        (stays, None),
        (may_go, SPOT),
        (goes, SPOT),
        (must_stay, None),
        (stays.override(interruptible=True), SPOT),
        (goes.override(interruptible=False), None),
    ],
)
def test_a_task_wins_over_its_environment_and_a_run_over_both(task: Any, prefers: Any) -> None:
    assert selector(task) == prefers
    assert selector(task, of_run=True) == SPOT
    assert selector(task, of_run=False) is None


def test_the_processes_of_a_pool_are_what_its_environment_says() -> None:
    assert selector(in_a_pool) == SPOT


def test_a_run_is_told_in_a_word_what_interruptible_takes() -> None:
    with pytest.raises(TypeError, match="interruptible must be True, False or None, got 'yes'"):
        flyte.with_runcontext(interruptible="yes")  # type: ignore[arg-type]
