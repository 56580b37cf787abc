"""Stop in Python's debugger where an action that runs in this process fails."""

from __future__ import annotations

import functools
import pdb
import sys
from types import TracebackType
from typing import Any

from flyte_ray.spec.task import TaskSpec


def stop_where_it_fails(task: TaskSpec | None) -> None:
    """Have a task, in this process, open the debugger in the frame in which it fails; the error goes on afterwards."""
    assert task is not None, "its code was imported"
    real = task.func

    @functools.wraps(real)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return real(*args, **kwargs)
        except Exception as error:
            _debug(error.__traceback__)
            raise

    @functools.wraps(real)
    async def call_later(*args: Any, **kwargs: Any) -> Any:
        try:
            return await real(*args, **kwargs)
        except Exception as error:
            _debug(error.__traceback__)
            raise

    object.__setattr__(task, "func", call_later if task.interface.is_async else call)  # frozen for everybody else


def _debug(where: TracebackType | None) -> None:
    # The terminal itself: what tasks print is kept with the action, and comes out line by line.
    debugger = pdb.Pdb(stdin=sys.__stdin__, stdout=sys.__stdout__)
    debugger.reset()
    debugger.interaction(None, where)
