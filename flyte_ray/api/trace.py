"""Record the calls of plain functions inside tasks: `flyte.trace`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import nullcontext
from typing import Any, ParamSpec, TypeVar, cast

from flyte_ray.runtime.steps import Traced, open_step

P = ParamSpec("P")
R = TypeVar("R")


def trace(func: Callable[P, R]) -> Callable[P, R]:
    """Make each call of a function inside a task a recorded step; outside a task it is the function as it is.

    A step has no action of its own: it runs where it is called. When its action is tried again, or its run is resumed,
    a step that has returned is answered from the record and not executed; a generator gives its recorded items. One
    that raised `NonRecoverableError` raises it again, one that raised anything else is executed again. What a generator
    gave is on record when it has ended. A step is told by the function's name and body, its arguments, the innermost
    `flyte.group`, and how many like it came before it in the attempt.

    Args:
        func: A function, an async function, or a generator function of either kind. What it returns or yields must be
            storable, as a task's outputs; no arguments are too odd.

    Returns:
        A function of the same kind and signature.

    Raises:
        TypeError: `func` is no function; in a call, what it gave cannot be stored.
        TraceDoesNotAllowNestedTasksError: In a call, it called a task.

    Source: `flyte.trace`.

    """
    if not inspect.isroutine(func):
        raise TypeError(
            f"flyte.trace expects a function, got {type(func).__name__} {func!r:.80}. A task is on record already; of a"
            f" class, trace the methods."
        )
    return cast("Callable[P, R]", record_calls(Traced(func)))


def record_calls(traced: Traced) -> Callable[..., Any]:
    """Wrap a function by its kind."""
    if inspect.isasyncgenfunction(traced.func):
        return _async_generator(traced)
    if inspect.iscoroutinefunction(traced.func):
        return _coroutine(traced)
    return _generator(traced) if inspect.isgeneratorfunction(traced.func) else _plain(traced)


def _plain(traced: Traced) -> Callable[..., Any]:
    func = traced.func

    @functools.wraps(func)
    def step_of(*args: Any, **kwargs: Any) -> Any:
        step = open_step(traced, args, kwargs)
        if step is None:
            return func(*args, **kwargs)
        if step.is_recorded:
            return step.outcome()
        try:
            with step.inside():
                output = func(*args, **kwargs)
        except Exception as error:
            step.fail(error)
            raise
        step.end(output)
        return output

    return step_of


def _coroutine(traced: Traced) -> Callable[..., Any]:
    func = traced.func

    @functools.wraps(func)
    async def step_of(*args: Any, **kwargs: Any) -> Any:
        step = open_step(traced, args, kwargs)
        if step is None:
            return await func(*args, **kwargs)
        if step.is_recorded:
            return step.outcome()
        try:
            with step.inside():
                output = await func(*args, **kwargs)
        except Exception as error:
            step.fail(error)
            raise
        step.end(output)
        return output

    return step_of


def _generator(traced: Traced) -> Callable[..., Any]:
    func = traced.func

    @functools.wraps(func)
    def step_of(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        step = open_step(traced, args, kwargs)
        if step is None:
            return (yield from func(*args, **kwargs))
        if step.is_recorded:
            yield from step.recorded_items()
            return step.outcome()
        items = func(*args, **kwargs)
        sent = None
        try:
            while True:
                try:
                    with step.inside():
                        item = items.send(sent)
                except StopIteration as end:
                    step.end_items(end.value)
                    return end.value
                except Exception as error:
                    step.fail(error)
                    raise
                step.add(item)
                sent = yield item
        finally:
            items.close()

    return step_of


def _async_generator(traced: Traced) -> Callable[..., Any]:
    func = traced.func

    @functools.wraps(func)
    async def step_of(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        step = open_step(traced, args, kwargs)
        if step is not None and step.is_recorded:
            for item in step.recorded_items():
                yield item
            step.outcome()
            return
        items = func(*args, **kwargs)
        sent = None
        try:
            while True:
                try:
                    with step.inside() if step else nullcontext():
                        item = await items.asend(sent)
                except StopAsyncIteration:
                    if step:
                        step.end_items(None)
                    return
                except Exception as error:
                    if step:
                        step.fail(error)
                    raise
                if step:
                    step.add(item)
                sent = yield item
        finally:
            await items.aclose()

    return step_of
