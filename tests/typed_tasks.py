"""What a type checker must know of tasks; `test_typing.py` has mypy read it, and nobody runs it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from typing_extensions import assert_type

import flyte_ray as flyte

env = flyte.TaskEnvironment("typed")


@env.task
def add(x: int, y: int = 1) -> int:
    return x + y


@env.task(retries=2)
async def describe(x: float, *, unit: str) -> str:
    return f"{x} {unit}"


def plain() -> Coroutine[Any, Any, str]:
    assert_type(add(1), int)
    assert_type(add.forward(1, y=2), int)
    assert_type(add.override(retries=0)(1), int)
    add("1")  # type: ignore[arg-type]
    add()  # type: ignore[call-arg]
    add(1, z=2)  # type: ignore[call-arg]
    described = describe(1.0)  # type: ignore[call-arg]
    return assert_type(described, Coroutine[Any, Any, str])


def asks() -> None:
    assert_type(flyte.new_condition("approval").wait(), bool)
    assert_type(flyte.new_condition("count", data_type=int).wait(), int)


async def in_async_code() -> None:
    asked = await flyte.new_condition.aio("name", data_type=str)
    assert_type(await asked.wait.aio(), str)
    assert_type(await add.aio(1), int)
    assert_type(await describe.aio(1.0, unit="m"), str)
    assert_type(await describe(1.0, unit="m"), str)
    await add.aio("1")  # type: ignore[arg-type]
    await describe.aio(1.0)  # type: ignore[call-overload]
