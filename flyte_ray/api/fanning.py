"""Call a task over many inputs, and name what belongs together: `map`, `group`, `custom_context`, `ctx`."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flyte_ray.api.environment import TaskTemplate
from flyte_ray.errors import BaseRuntimeError
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
    rows = zip(*iterables, strict=False)
    if action is None:
        for row in rows:
            yield func(*row)
        return
    spec, controller = func.spec, action.controller
    window: deque[tuple[Known, Pending]] = deque()
    limit = concurrency or _WINDOW

    def refill() -> None:
        with group(f"{spec.short_name}_{group_name or 'map'}"):
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


def _settle(controller: Controller, known: Known, pending: Pending, return_exceptions: bool) -> Any:
    try:
        return controller.result(known, pending)
    except BaseRuntimeError as error:
        if not return_exceptions:
            raise
        return error
