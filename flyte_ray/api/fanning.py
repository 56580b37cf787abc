"""Call a task over many inputs, and name what belongs together: `map`, `group`, `custom_context`, `ctx`."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flyte_ray.api.environment import TaskTemplate, in_loop
from flyte_ray.errors import BaseRuntimeError, SyncTaskCallInAsyncContextError
from flyte_ray.runtime.catalog import Known
from flyte_ray.runtime.context import ActionContext, current_action, current_custom, current_group
from flyte_ray.runtime.controller import Controller
from flyte_ray.runtime.execution import Pending
from flyte_ray.spec.interface import bind

_WINDOW: Final = 4096
"""Actions that a `map` has open at a time unless told otherwise, so that endless iterables work."""
_REFILL: Final = 256
"""Actions that are asked for at a time: long refills would keep the slot from the work that it has."""


def ctx() -> ActionContext | None:
    """Return what is known of the action that calls this; None outside a run."""
    return current_action.get()


@contextmanager
def group(name: str) -> Iterator[None]:
    """Label the actions started inside; part of their ids. The innermost group wins."""
    token = current_group.set(name)
    try:
        yield
    finally:
        current_group.reset(token)


@contextmanager
def custom_context(**context: str) -> Iterator[None]:
    """Give key and value to all actions started inside and their descendants; not part of any cache key."""
    token = current_custom.set({**(current_custom.get() or {}), **context})
    try:
        yield
    finally:
        current_custom.reset(token)


class Map:
    """Call a task over many inputs: `flyte.map(...)`, and `flyte.map.aio(...)` in async code. Mirrors `flyte.map`."""

    def __call__(
        self,
        func: TaskTemplate,
        *iterables: Iterable[Any],
        group_name: str | None = None,
        concurrency: int = 0,
        return_exceptions: bool = True,
    ) -> Iterator[Any]:
        """Call a task for each tuple of the zipped iterables and yield the outputs in order.

        Closing the iterator early aborts what it has not yielded.

        Args:
            func: The task.
            iterables: Zipped; the shortest ends the map.
            group_name: The actions' group is `<task>_<group_name or "map">`.
            concurrency: How many run at a time; 0 leaves it to us.
            return_exceptions: Yield errors as values; False raises the first.

        Raises:
            SyncTaskCallInAsyncContextError: Called where it would block an event loop.
            ValueError: `concurrency` is negative.

        """
        _check(func, concurrency)
        if current_action.get() is None:
            return (func(*row) for row in zip(*iterables, strict=False))
        if in_loop():
            raise SyncTaskCallInAsyncContextError(
                f"flyte.map over '{func.name}' was called from async code, whose loop it would block. Write"
                f" 'async for item in flyte.map.aio(...)'."
            )
        return _in_order(func, zip(*iterables, strict=False), group_name, concurrency, return_exceptions)

    def aio(
        self,
        func: TaskTemplate,
        *iterables: Iterable[Any],
        group_name: str | None = None,
        concurrency: int = 0,
        return_exceptions: bool = True,
    ) -> AsyncIterator[Any]:
        """Do the same without blocking the loop; an async iterator."""
        _check(func, concurrency)
        return _in_order_aio(func, zip(*iterables, strict=False), group_name, concurrency, return_exceptions)


map_task = Map()


def _check(func: TaskTemplate, concurrency: int) -> None:
    if not isinstance(func, TaskTemplate):
        raise TypeError(f"flyte.map expects a task made with @env.task, got {type(func).__name__}. Decorate it.")
    if concurrency < 0:
        raise ValueError(f"flyte.map: concurrency must be 0 (no limit) or a count, got {concurrency}. Write 0.")


def _in_order(
    func: TaskTemplate, rows: Iterator[tuple[Any, ...]], name: str | None, concurrency: int, return_exceptions: bool
) -> Iterator[Any]:
    action = current_action.get()
    assert action is not None
    spec, controller = func.spec, action.controller
    window: deque[tuple[Known, Pending]] = deque()
    limit = concurrency or _WINDOW

    def refill() -> None:
        with group(f"{spec.short_name}_{name or 'map'}"):
            for row in itertools.islice(rows, limit - len(window)):
                window.append(controller.submit(spec, bind(spec.interface, spec.name, row, {})))

    try:
        refill()
        while window:
            yield _settle(controller, *window.popleft(), return_exceptions)
            if concurrency or len(window) <= limit - _REFILL:
                refill()
    finally:
        # The caller stopped early: what it did not take is not wanted.
        for _, pending in window:
            controller.drop(pending)


async def _in_order_aio(
    func: TaskTemplate, rows: Iterator[tuple[Any, ...]], name: str | None, concurrency: int, return_exceptions: bool
) -> AsyncIterator[Any]:
    window: deque[asyncio.Task[Any]] = deque()
    limit = concurrency or _WINDOW

    def refill() -> None:
        # A task copies the context in which it is made: so the group reaches the call.
        with group(f"{func.spec.short_name}_{name or 'map'}"):
            for row in itertools.islice(rows, limit - len(window)):
                window.append(asyncio.ensure_future(func.aio(*row)))

    try:
        refill()
        while window:
            try:
                yield await window.popleft()
            except BaseRuntimeError as error:
                if not return_exceptions:
                    raise
                yield error
            if concurrency or len(window) <= limit - _REFILL:
                refill()
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


def _settle(controller: Controller, known: Known, pending: Pending, return_exceptions: bool) -> Any:
    try:
        return controller.result(known, pending)
    except BaseRuntimeError as error:
        if not return_exceptions:
            raise
        return error
