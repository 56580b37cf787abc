"""`flyte.map`: order, concurrency, errors as values, early end; plain, async and outside a run."""

from __future__ import annotations

import asyncio
import functools
import itertools
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.errors import RuntimeUserError, SyncTaskCallInAsyncContextError
from flyte_ray.models import ActionPhase
from flyte_ray.runtime.waits import Pending, Siblings

env = flyte.TaskEnvironment("mapping")
running: list[int] = []
most: list[int] = []


@env.task
def scale(x: int, by: int = 2) -> int:
    if x == 13:
        raise ValueError("thirteen")
    return x * by


@env.task
async def scale_later(x: int) -> int:
    running.append(x)
    most.append(len(running))
    await asyncio.sleep(0.02)
    running.remove(x)
    return 2 * x


@env.task
async def forever(x: int) -> int:
    await asyncio.sleep(0 if x == 0 else 600)
    return x


@env.task
def zipped() -> list[int]:
    return list(flyte.map(scale, [1, 2, 3], [10, 100]))


@env.task
def partially() -> list[int]:
    return list(flyte.map(functools.partial(scale, by=3), [1, 2])) + list(
        flyte.map(functools.partial(scale, 4), [1, 2])
    )


@env.task
def values_of_errors() -> list[str]:
    return [str(item) for item in flyte.map(scale, [12, 13, 14])]


@env.task
def first_error_ends() -> int:
    return sum(flyte.map(scale, [12, 13, 14], return_exceptions=False))


@env.task
async def fails_if_one(x: int) -> int:
    await asyncio.sleep(600 if x < 1 else 0)
    raise ValueError(f"number {x}")


@env.task
def fails_late() -> int:
    return sum(flyte.map(fails_if_one, range(2), return_exceptions=False))


@env.task
def goes_on_after_a_failure() -> str:
    try:
        fails_late.forward()
    except RuntimeUserError as error:
        return str(error)
    return "no error"


@env.task
async def fails_late_aio() -> list[int]:
    return [item async for item in flyte.map.aio(fails_if_one, range(2), return_exceptions=False)]


@env.task
def endless() -> list[int]:
    return list(itertools.islice(flyte.map(scale, itertools.count(20), concurrency=4), 6))


@env.task
def nothing() -> list[int]:
    return list(flyte.map(scale))


@env.task
async def limited(n: int, concurrency: int) -> list[int]:
    return [item async for item in flyte.map.aio(scale_later, range(n), concurrency=concurrency)]


@env.task
async def raises_aio() -> int:
    total = 0
    async for item in flyte.map.aio(scale, [12, 13, 14], return_exceptions=False):
        total += item
    return total


@env.task
async def closes_early() -> int:
    items: Any = flyte.map.aio(forever, range(4), group_name="mine")
    first = await anext(items)
    await items.aclose()
    return int(first)


@env.task
async def maps_on_a_thread() -> int:
    return await asyncio.to_thread(lambda: sum(flyte.map(scale, range(3), return_exceptions=False)))


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


def test_iterables_are_zipped_and_the_shortest_ends() -> None:
    assert flyte.run(zipped).outputs() == ([10, 200],)


def test_a_partial_leaves_one_parameter() -> None:
    assert flyte.run(partially).outputs() == ([3, 6, 4, 8],)


def test_no_iterables_make_no_action() -> None:
    run = flyte.run(nothing)
    assert run.outputs() == ([],)
    assert len(flyte.remote.Action.listall(run.name)) == 1


def test_an_error_is_a_value_at_its_place() -> None:
    assert flyte.run(values_of_errors).outputs() == (["24", "thirteen", "28"],)


def test_the_first_error_is_raised_if_asked() -> None:
    for task in (first_error_ends, raises_aio):
        with pytest.raises(RuntimeUserError, match="thirteen"):
            flyte.run(task).outputs()


@pytest.mark.parametrize("task", [fails_late, fails_late_aio], ids=lambda task: task.short_name)
def test_the_first_failure_to_happen_ends_the_map_and_aborts_the_rest(task: flyte.TaskTemplate) -> None:
    run = flyte.run(task)
    with pytest.raises(RuntimeUserError, match="number 1"):
        run.outputs()
    children = flyte.remote.Action.listall(run.name, parent_name="a0")
    assert sorted(child.phase.value for child in children) == ["aborted", "failed"]


def test_a_caller_that_goes_on_has_dropped_the_rest_also_what_it_waited_for() -> None:
    run = flyte.run(goes_on_after_a_failure)
    assert "number 1" in run.outputs()[0]
    (aborted,) = (child for child in run.state().actions.values() if child.phase is ActionPhase.ABORTED)
    assert "its parent does not want it any more" in str(aborted.result)


def test_a_thread_that_waits_for_one_child_is_woken_by_the_failure_of_another() -> None:
    first, second, siblings = Pending("first"), Pending("second"), Siblings()
    woken: list[str] = []
    either = siblings.next_end(first)
    either.deliver = lambda: woken.append(either.kind)
    second.kind = "FAILED"
    siblings.note(second, succeeded=False)
    assert woken == ["FAILED"] and siblings.failed is second
    assert siblings.next_end(first).kind == "FAILED"


def test_an_endless_iterable_is_taken_as_far_as_needed() -> None:
    run = flyte.run(endless)
    assert run.outputs() == ([40, 42, 44, 46, 48, 50],)
    assert len(flyte.remote.Action.listall(run.name)) < 20


def test_no_more_than_the_concurrency_run_at_a_time() -> None:
    most.clear()
    assert flyte.run(limited, 9, 3).outputs() == ([2 * x for x in range(9)],)
    assert max(most) <= 3


def test_an_async_map_that_is_closed_early_aborts_the_rest() -> None:
    run = flyte.run(closes_early)
    assert run.outputs() == (0,)
    children = flyte.remote.Action.listall(run.name, parent_name="a0")
    assert {child.group for child in children} == {"forever_mine"}
    assert sorted(child.phase.value for child in children) == ["aborted"] * 3 + ["succeeded"]


def test_a_plain_map_on_a_thread_of_an_async_task_is_fine() -> None:
    assert flyte.run(maps_on_a_thread).outputs() == (6,)


def test_outside_a_run_map_calls_the_plain_functions(root: Path) -> None:
    async def plainly() -> list[Any]:
        return [item async for item in flyte.map.aio(scale_later, [1, 2])]

    assert [str(item) for item in flyte.map(scale, [1, 13])] == ["2", "thirteen"]
    assert list(flyte.map(scale_later, [1, 2])) == [2, 4]
    assert asyncio.run(plainly()) == [2, 4]
    with pytest.raises(ValueError, match="thirteen"):
        list(flyte.map(scale, [13], return_exceptions=False))
    assert not list(root.iterdir())


def test_outside_a_run_async_tasks_are_not_mapped_on_a_blocked_loop() -> None:
    async def blocked() -> None:
        flyte.map(scale_later, [1])

    with pytest.raises(SyncTaskCallInAsyncContextError, match="flyte.map.aio"):
        asyncio.run(blocked())


def test_what_cannot_be_mapped_is_refused_before_anything_runs() -> None:
    with pytest.raises(TypeError, match="expects a task made with @env.task, got builtin_function"):
        flyte.map(len, [1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="concurrency must be 0 .no limit. or a count, got -1"):
        flyte.map(scale, [1], concurrency=-1)
    with pytest.raises(TypeError, match="expects iterables, got list, int. Write a list, or functools.partial"):
        flyte.map(scale, [1], 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="without a value: x, by"):
        flyte.map(functools.partial(scale), [1])
    with pytest.raises(TypeError, match="given twice: x"):
        flyte.map(functools.partial(scale, 1, x=2), [1])  # type: ignore[misc]
