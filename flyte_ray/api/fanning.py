"""Call a task over many inputs, and name what belongs together: `map`, `group`, `custom_context`, `ctx`."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from flyte_ray.api.environment import TaskTemplate
from flyte_ray.errors import BaseRuntimeError
from flyte_ray.runtime.context import ActionContext, current_action, current_custom, current_group
from flyte_ray.spec.interface import bind

_UNBOUNDED: Final = 32
"""Threads of a `map` whose concurrency is not limited; local mode gains nothing from more."""


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


def map_task(
    func: TaskTemplate,
    *iterables: Iterable[Any],
    group_name: str | None = None,
    concurrency: int = 0,
    return_exceptions: bool = True,
) -> Iterator[Any]:
    """Call a task for each tuple of the zipped iterables and yield the outputs in order.

    Args:
        func: The task.
        iterables: Zipped; the shortest ends the map.
        group_name: The actions' group is `<task>_<group_name or "map">`.
        concurrency: How many run at a time; 0 leaves it to us.
        return_exceptions: Yield errors as values; False raises the first.

    """
    action = current_action.get()
    spec = func.spec

    def call(row: tuple[Any, ...]) -> Any:
        if action is None:
            return func(*row)
        return action.controller.call(spec, bind(spec.interface, spec.name, row, {}))

    pool = ThreadPoolExecutor(concurrency or _UNBOUNDED)
    try:
        with group(f"{spec.short_name}_{group_name or 'map'}"):
            rows = zip(*iterables, strict=False)
            futures = [pool.submit(contextvars.copy_context().run, call, row) for row in rows]
        for future in futures:
            try:
                yield future.result()
            except BaseRuntimeError as error:
                if not return_exceptions:
                    raise
                yield error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
