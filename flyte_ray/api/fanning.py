"""Call a task over many inputs: `map`, in order, plain and for async code."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from typing import Any, Final

from flyte_ray.api.both import is_in_loop
from flyte_ray.api.context import ctx, custom_context, group
from flyte_ray.api.task import TaskTemplate
from flyte_ray.errors import BaseRuntimeError, SyncTaskCallInAsyncContextError
from flyte_ray.runtime.catalog import Known
from flyte_ray.runtime.context import current_action
from flyte_ray.runtime.controller import Controller
from flyte_ray.runtime.waits import Pending, Siblings
from flyte_ray.spec.interface import bind

__all__ = ["Map", "ctx", "custom_context", "group", "map_task"]

_WINDOW: Final = 4096
"""Actions that a `map` has open at a time unless told otherwise, so that endless iterables work."""
_REFILL: Final = 256
"""Actions that are asked for at a time: long refills would keep the slot from the work that it has."""

Mapped = TaskTemplate | functools.partial[Any]
"""A task, or a task with all arguments given but one."""
Calls = Iterator[dict[str, Any]]
"""The arguments of each call, by parameter."""


class Map:
    """Call a task over many inputs: `flyte.map(...)`, and `flyte.map.aio(...)` in async code. Mirrors `flyte.map`."""

    def __call__(
        self,
        func: Mapped,
        *iterables: Iterable[Any],
        group_name: str | None = None,
        concurrency: int = 0,
        return_exceptions: bool = True,
    ) -> Generator[Any, None, None]:
        """Call a task for each tuple of the zipped iterables and yield the outputs in order.

        Closing the iterator early aborts what it has not yielded. Outside a run, plain functions are called in turn.

        Args:
            func: The task, or a `functools.partial` of it that leaves one parameter.
            iterables: Zipped; the shortest ends the map.
            group_name: The actions' group is `<task>_<group_name or "map">`.
            concurrency: How many run at a time; 0 leaves it to us.
            return_exceptions: Yield errors as values; False raises the first to happen and aborts the rest: at once, or
                where a sibling runs in the caller's own process, when that has ended.

        Raises:
            SyncTaskCallInAsyncContextError: Called where it would block an event loop.
            TypeError: `func` is no task, or an argument is not iterable or fits no parameter.
            ValueError: `concurrency` is negative.

        Source: `flyte.map`.

        """
        task, calls = _calls(func, iterables, concurrency)
        outside = current_action.get() is None
        if is_in_loop() and (not outside or task.interface.is_async):
            raise SyncTaskCallInAsyncContextError(
                f"flyte.map over '{task.name}' was called from async code, whose loop it would block. Write"
                f" 'async for item in flyte.map.aio(...)'."
            )
        if outside:
            return _plainly(task, calls, return_exceptions)
        return _in_order(task, calls, group_name, concurrency, return_exceptions)

    def aio(
        self,
        func: Mapped,
        *iterables: Iterable[Any],
        group_name: str | None = None,
        concurrency: int = 0,
        return_exceptions: bool = True,
    ) -> AsyncGenerator[Any, None]:
        """Do the same without blocking the loop; an async iterator."""
        task, calls = _calls(func, iterables, concurrency)
        if current_action.get() is None:
            return _plainly_aio(task, calls, return_exceptions)
        return _in_order_aio(task, calls, group_name, concurrency, return_exceptions)


map_task = Map()


def _calls(func: Mapped, iterables: tuple[Iterable[Any], ...], concurrency: int) -> tuple[TaskTemplate, Calls]:
    task = func.func if isinstance(func, functools.partial) else func
    if not isinstance(task, TaskTemplate):
        raise TypeError(f"flyte.map expects a task made with @env.task, got {type(task).__name__}. Decorate it.")
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 0:
        raise ValueError(f"flyte.map: concurrency must be 0 (no limit) or a count, got {concurrency!r}. Write 0.")
    try:
        rows = zip(*iterables, strict=False)
    except TypeError as error:
        raise TypeError(
            f"flyte.map over '{task.name}' expects iterables, got {', '.join(type(one).__name__ for one in iterables)}."
            f" Write a list, or functools.partial(task, name=value) for what is the same in all calls."
        ) from error
    if not isinstance(func, functools.partial):
        return task, (bind(task.interface, task.name, row, {}) for row in rows)
    fixed, free = _fixed(task, func, len(iterables))
    return task, (bind(task.interface, task.name, (), {**fixed, free: row[0]}) for row in rows)


def _fixed(task: TaskTemplate, func: functools.partial[Any], given: int) -> tuple[dict[str, Any], str]:
    names = [parameter.name for parameter in task.interface.parameters]
    positional = names[: len(func.args)]
    twice = [name for name in positional if name in func.keywords]
    free = [name for name in names if name not in positional and name not in func.keywords]
    if twice or len(free) != 1 or given > 1:
        raise TypeError(
            f"flyte.map over a partial of '{task.name}' expects all parameters but one to be given once, and one"
            f" iterable; got {given}, without a value: {', '.join(free) or 'none'}, given twice:"
            f" {', '.join(twice) or 'none'}. Give each by name in functools.partial."
        )
    return {**dict(zip(positional, func.args, strict=False)), **func.keywords}, free[0]


def _plainly(task: TaskTemplate, calls: Calls, return_exceptions: bool) -> Generator[Any, None, None]:
    for values in calls:
        try:
            output = task.forward(**values)
            output = asyncio.run(output) if task.interface.is_async else output
        except Exception as error:
            if not return_exceptions:
                raise
            output = error
        yield output


async def _plainly_aio(task: TaskTemplate, calls: Calls, return_exceptions: bool) -> AsyncGenerator[Any, None]:
    for values in calls:
        try:
            output = await task.aio(**values)
        except Exception as error:
            if not return_exceptions:
                raise
            output = error
        yield output


def _in_order(
    task: TaskTemplate, calls: Calls, name: str | None, concurrency: int, return_exceptions: bool
) -> Generator[Any, None, None]:
    action = current_action.get()
    assert action is not None
    spec, controller = task.spec, action.controller
    window: deque[tuple[Known, Pending]] = deque()
    limit = concurrency or _WINDOW
    siblings = None if return_exceptions else Siblings()

    def refill() -> None:
        with group(f"{spec.short_name}_{name or 'map'}"):
            for values in itertools.islice(calls, limit - len(window)):
                window.append(controller.submit(spec, values, siblings=siblings))

    try:
        refill()
        while window:
            output = _settle(controller, *window[0], return_exceptions)
            window.popleft()
            yield output
            if concurrency or len(window) <= limit - _REFILL:
                refill()
    finally:
        # The caller stopped early: what it did not take is not wanted.
        for _, pending in window:
            controller.drop(pending)


async def _in_order_aio(
    task: TaskTemplate, calls: Calls, name: str | None, concurrency: int, return_exceptions: bool
) -> AsyncGenerator[Any, None]:
    window: deque[asyncio.Task[Any]] = deque()
    limit = concurrency or _WINDOW
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def note(call: asyncio.Task[Any]) -> None:
        error = None if call.cancelled() else call.exception()
        if error is not None and not failed.done():
            failed.set_result(error)

    def refill() -> None:
        # A task copies the context in which it is made: so the group reaches the call.
        with group(f"{task.short_name}_{name or 'map'}"):
            for values in itertools.islice(calls, limit - len(window)):
                window.append(asyncio.ensure_future(task.aio(**values)))
                if not return_exceptions:
                    window[-1].add_done_callback(note)

    try:
        refill()
        while window:
            await asyncio.wait((window[0], failed), return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                raise failed.result()
            try:
                output = window.popleft().result()
            except BaseRuntimeError as error:
                if not return_exceptions:
                    raise  # its callback has not run yet
                output = error
            yield output
            if concurrency or len(window) <= limit - _REFILL:
                refill()
    finally:
        for call in window:
            call.cancel()
        await asyncio.gather(*window, return_exceptions=True)


def _settle(controller: Controller, known: Known, pending: Pending, return_exceptions: bool) -> Any:
    try:
        return controller.result(known, pending)
    except BaseRuntimeError as error:
        if not return_exceptions:
            raise
        return error
