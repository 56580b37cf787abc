"""Give a public call that may wait both forms: `call(...)` and `await call.aio(...)`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Both(Generic[P, R]):
    """A function, or a method, with an awaitable form that does not block the caller's loop."""

    def __init__(self, call: Callable[P, R]) -> None:
        """Wrap the blocking form."""
        self._call = call
        functools.update_wrapper(self, call)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call and block."""
        return self._call(*args, **kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call on a thread and await the result."""
        return await asyncio.to_thread(self._call, *args, **kwargs)

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return self if owner is None else Both(functools.partial(self._call, owner))


def both_forms(call: Callable[P, R]) -> Both[P, R]:
    """Decorate a function or a method."""
    return Both(call)
