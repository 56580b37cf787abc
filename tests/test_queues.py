"""Queues and limits of runs, as a user sees them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import RuntimeUserError
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.queues import put_queue
from flyte_ray.spec.queue import QueueLimits
from flyte_ray.storage import open_store

gpu = flyte.TaskEnvironment("queues", queue="gpu")
plain = flyte.TaskEnvironment("plain")
at_once: list[int] = []
most: list[int] = []
_lock = threading.Lock()


def _stay(seconds: float) -> None:
    with _lock:
        at_once.append(1)
        most.append(len(at_once))
    time.sleep(seconds)
    with _lock:
        at_once.pop()


@gpu.task
def trains(number: int) -> int:
    _stay(0.1)
    return number


@plain.task
def helps(number: int) -> int:
    _stay(0.1)
    return number


@plain.task
def trains_all(count: int) -> int:
    return sum(flyte.map(trains, range(count), return_exceptions=False))


@plain.task
def helps_all(count: int) -> int:
    return sum(flyte.map(helps, range(count), return_exceptions=False))


@gpu.task
def trains_below_itself(depth: int) -> int:
    return trains_below_itself(depth - 1) + 1 if depth else 0


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=str(tmp_path))
    most.clear()
    return tmp_path


def make(root: Path, limits: QueueLimits) -> None:
    put_queue(open_store(str(root)), limits, at_us=1, by="me")


def test_a_queue_bounds_how_many_of_its_actions_run_at_a_time(root: Path) -> None:
    make(root, QueueLimits("gpu", max_actions=1))
    assert flyte.with_runcontext(mode="local").run(trains_all, 6).outputs()[0] == 15
    assert max(most) == 1


def test_parents_and_children_of_a_queue_with_one_place_do_not_wait_for_each_other(root: Path) -> None:
    make(root, QueueLimits("gpu", max_actions=1))
    assert flyte.with_runcontext(mode="local").run(trains_below_itself, 10).outputs()[0] == 10


def test_a_rate_spreads_begins_over_time(root: Path) -> None:
    make(root, QueueLimits("gpu", rate=10.0))
    begin = time.monotonic()
    flyte.with_runcontext(mode="local").run(trains_all, 6)
    assert time.monotonic() - begin > 0.45  # six at once would take 0.3 s at most


def test_a_task_of_a_queue_that_is_not_there_fails_with_the_line_that_makes_it(root: Path) -> None:
    make(root, QueueLimits("gpus"))
    run = flyte.with_runcontext(mode="local").run(trains, 1)
    with pytest.raises(RuntimeUserError, match="Did you mean 'gpus'.*flyte-ray create queue gpu --max") as caught:
        run.outputs()
    assert caught.value.code == "QueueNotFoundError"


def test_the_queue_of_a_run_holds_for_tasks_that_name_none(root: Path) -> None:
    make(root, QueueLimits("slow", max_actions=1))
    make(root, QueueLimits("gpu"))
    run = flyte.with_runcontext(mode="local", queue="slow").run(helps_all, 6)
    assert (run.outputs()[0], max(most)) == (15, 1)


def test_an_override_names_another_queue(root: Path) -> None:
    make(root, QueueLimits("other"))
    assert flyte.with_runcontext(mode="local").run(trains.override(queue="other"), 3).outputs()[0] == 3


def test_a_run_may_bound_how_many_of_its_actions_run_at_a_time(root: Path) -> None:
    run = flyte.with_runcontext(mode="local", max_action_concurrency=2).run(helps_all, 8)
    assert (run.outputs()[0], max(most) <= 2) == (28, True)


def test_a_run_that_is_run_again_keeps_its_queue(root: Path) -> None:
    make(root, QueueLimits("slow", max_actions=1))
    first = flyte.with_runcontext(mode="local", queue="slow").run(helps_all, 2)
    again = flyte.with_runcontext(mode="local").rerun(first.name)
    assert (again.outputs()[0], load_spec(open_store(str(root)), again.name)["queue"]) == (1, "slow")


def test_queues_are_made_listed_and_deleted_by_the_command_line(root: Path) -> None:
    def say(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, [*words, "--root", str(root)])
        assert result.exit_code == code, result.output
        return result.output

    made = say("create", "queue", "gpu", "--max-actions", "8", "--priority", "10", "--rate", "10/s")
    assert made == "Queue gpu: at most 8 actions at a time, 10 begin per second, priority 10.\n"
    assert say("create", "queue", "all") == "Queue all: any number of actions at a time, priority 0.\n"
    listed = say("get", "queue")
    assert [line.split()[0] for line in listed.splitlines()] == ["NAME", "all", "gpu"]
    assert "expected a rate such as 10/s, 30/m or 5/h, got '10'" in say("create", "queue", "x", "--rate", "10", code=2)
    assert "max_actions must be a whole number from 1 on, got 0" in say(
        "create", "queue", "x", "--max-actions", "0", code=2
    )
    assert say("delete", "queue", "gpu") == "Deleted queue gpu.\n"
    assert "Did you mean 'all'?" in say("delete", "queue", "al", code=2)
