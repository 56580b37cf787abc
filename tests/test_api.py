"""What the user holds: tasks, environments, map, runs; in local mode."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import flyte_ray as flyte
from flyte_ray.errors import RuntimeUserError, SyncTaskCallInAsyncContextError, UnsupportedError
from flyte_ray.spec.interface import build_interface
from flyte_ray.spec.task import EnvironmentSpec, TaskSpec

env = flyte.TaskEnvironment("api")


class Point(BaseModel):
    x: int


class Opaque:
    pass


OPAQUE = Opaque()


@env.task
def double(x: int) -> int:
    """Return twice as much."""
    if x < 0:
        raise ValueError("negative")
    return 2 * x


@env.task
def described(point: Point, names: list[str], scale: float = 1.5, thing: Opaque = OPAQUE) -> int:
    return 0


@env.task
async def mapped_aio(n: int, concurrency: int) -> list[int]:
    return [item async for item in flyte.map.aio(double, range(n), concurrency=concurrency)]


@env.task
async def mapped_errors() -> list[str]:
    items: AsyncIterator[Any] = flyte.map.aio(double, [1, -1])
    return [str(item) async for item in items]


@env.task
async def blocking_map() -> list[int]:
    return list(flyte.map(double, [1]))


@env.task
def stops_early() -> int:
    items = flyte.map(double, range(100), concurrency=10)
    first = next(items)
    items.close()
    return int(first)


@env.task
def about() -> dict[str, str]:
    context = flyte.ctx()
    assert context is not None
    return {"action": context.action_name, "mode": context.mode, **context.custom_context}


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


@pytest.mark.parametrize("concurrency", [0, 1, 3])
def test_map_aio_yields_in_order(concurrency: int) -> None:
    assert flyte.run(mapped_aio, 20, concurrency).outputs()[0] == [2 * x for x in range(20)]


def test_map_aio_yields_errors_as_values() -> None:
    assert flyte.run(mapped_errors).outputs()[0] == ["2", "negative"]


def test_map_refuses_to_block_a_loop() -> None:
    with pytest.raises(RuntimeUserError, match="flyte.map.aio") as caught:
        flyte.run(blocking_map).outputs()
    assert caught.value.code == SyncTaskCallInAsyncContextError.__name__


def test_a_map_that_is_closed_early_aborts_the_rest(root: Path) -> None:
    run = flyte.run(stops_early)
    assert run.outputs() == (0,)
    phases = {action.phase.value for action in flyte.remote.Action.listall(run.name)}
    assert phases <= {"succeeded", "aborted"}


def test_the_schema_of_the_inputs_names_types_and_defaults() -> None:
    schema = described.json_schema
    assert schema["required"] == ["point", "names"]
    assert schema["properties"]["names"] == {"items": {"type": "string"}, "type": "array"}
    assert schema["properties"]["scale"]["default"] == 1.5
    assert schema["properties"]["point"]["properties"]["x"]["type"] == "integer"
    assert "Opaque" in schema["properties"]["thing"]["description"]


def test_a_task_says_what_it_is() -> None:
    assert (double.name, double.short_name, double.docs) == ("api.double", "double", "Return twice as much.")
    assert double.source_file == __file__


def test_a_task_of_an_environment_cannot_be_put_into_another() -> None:
    with pytest.raises(ValueError, match="belongs to environment 'api' already"):
        flyte.TaskEnvironment.from_task("other", double)


def test_an_environment_is_made_of_tasks_without_one() -> None:
    def plain(x: int) -> int:
        return x

    spec = TaskSpec(
        name="plain", short_name="plain", func=plain, interface=build_interface(plain), environment=EnvironmentSpec("a")
    )
    made = flyte.TaskEnvironment.from_task("other", flyte.TaskTemplate(spec))
    assert list(made.tasks) == ["other.plain"]


def test_every_call_that_waits_has_an_awaitable_form() -> None:
    async def main() -> tuple[Any, ...]:
        run = await flyte.run.aio(double, 4)
        await run.wait.aio()
        outputs: tuple[Any, ...] = await run.outputs.aio()
        assert await run.inputs.aio() == {"x": 4}
        return outputs

    assert asyncio.run(main()) == (8,)


def test_the_context_of_a_run_reaches_its_actions() -> None:
    run = flyte.with_runcontext(custom_context={"team": "blue"}).run(about)
    assert run.outputs()[0] == {"action": "a0", "mode": "local", "team": "blue"}


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="mode must be 'local' or 'remote', got 'hybrid'"):
        flyte.with_runcontext("hybrid")  # type: ignore[arg-type]
