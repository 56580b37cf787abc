"""The task object: calls, and what `override` changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.errors import InvalidDeclaration, RuntimeUserError, UnsupportedError

env = flyte.TaskEnvironment("task", resources=flyte.Resources(cpu=1), env_vars={"A": "1"})
reusing = flyte.TaskEnvironment("reusing", reusable=flyte.ReusePolicy(replicas=1))


@env.task(retries=2, timeout=60)
def add(x: int, y: int = 1) -> int:
    return x + y


@env.task
async def add_later(x: int) -> int:
    return x + 1


@env.task
async def calls_sync() -> int:
    return int(add(1))


@env.task
def calls_forward() -> int:
    return int(add.forward(1)) + int(asyncio.run(add_later.forward(1)))


@env.task
async def awaits_both() -> int:
    return int(await add.aio(1)) + int(await add_later.aio(1)) + int(await add_later(1))


@reusing.task
def pooled() -> int:
    return 1


def _any(settings: dict[str, str]) -> dict[str, Any]:
    return dict(settings)


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


def test_outside_a_run_every_form_is_the_plain_function(root: Path) -> None:
    async def plainly() -> int:
        return int(add(1)) + int(await add.aio(1)) + int(await add_later(1)) + int(await add_later.aio(1))

    assert add(1, y=2) == 3
    assert asyncio.run(plainly()) == 8
    assert not list(root.iterdir())


def test_outside_a_run_the_functions_own_error_is_raised() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        add()  # type: ignore[call-arg]


def test_a_sync_task_called_on_the_loop_is_refused_with_what_to_write() -> None:
    with pytest.raises(RuntimeUserError, match=r"Task 'task.add' is sync .* Write 'await add.aio\(...\)'") as caught:
        flyte.run(calls_sync).outputs()
    assert caught.value.code == "SyncTaskCallInAsyncContextError"


def test_forward_makes_no_action() -> None:
    run = flyte.run(calls_forward)
    assert run.outputs() == (4,)
    assert len(flyte.remote.Action.listall(run.name)) == 1


def test_async_code_awaits_sync_and_async_tasks() -> None:
    run = flyte.run(awaits_both)
    assert run.outputs() == (6,)
    assert len(flyte.remote.Action.listall(run.name)) == 4


def test_a_run_may_be_started_where_a_loop_runs() -> None:
    # A notebook's cell: its sync tasks call sync tasks, although the thread that started the run has a loop.
    @env.task
    def outer(n: int) -> int:
        return int(sum(int(add(x)) for x in range(n)) + sum(flyte.map(add, range(n))))

    async def cell() -> tuple[object, ...]:
        outputs: tuple[object, ...] = flyte.run(outer, 3).outputs()
        return outputs

    assert asyncio.run(cell()) == (12,)


def test_override_changes_what_is_given_and_nothing_else() -> None:
    changed = add.override(short_name="more", resources=flyte.Resources(cpu=4))
    assert (changed.name, changed.short_name) == ("task.add", "more")
    assert changed.spec.environment.resources == flyte.Resources(cpu=4)
    assert changed.spec.environment.env_vars == {"A": "1"}
    assert (changed.spec.retries, changed.spec.timeout) == (add.spec.retries, add.spec.timeout)
    assert add.short_name == "add"


def test_override_takes_zero_and_none_as_values() -> None:
    changed = add.override(retries=0, timeout=None, resources=None, env_vars=None)
    assert (changed.spec.retries.count, changed.spec.timeout, changed.spec.environment.resources) == (
        0,
        flyte.Timeout(),
        None,
    )
    assert changed.spec.environment.env_vars is None


@pytest.mark.parametrize("name", ["name", "image", "docs", "interface"])
def test_what_makes_a_task_cannot_be_overridden(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name.capitalize()} cannot be overridden, got 'x' for task 'task.add'"):
        add.override(**_any({name: "x"}))


def test_override_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UnsupportedError, match="Task 'task.add' cannot have 'pod_template'"):
        add.override(pod_template="x")
    with pytest.raises(TypeError, match="Task 'task.add' has no setting 'memory'. Those that can be overridden: "):
        add.override(memory="1Gi")


def test_a_reused_process_has_the_resources_of_its_environment() -> None:
    with pytest.raises(InvalidDeclaration, match=r"override\(resources=..., reusable='off'\)"):
        pooled.override(resources=flyte.Resources(cpu=2))
    changed = pooled.override(resources=flyte.Resources(cpu=2), reusable="off").spec.environment
    assert (changed.resources, changed.reusable) == (flyte.Resources(cpu=2), None)
    assert pooled.override(retries=1).spec.environment.reusable == reusing.reusable
