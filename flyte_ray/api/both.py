"""Give a public call that may wait both forms: `call(...)` and `await call.aio(...)`.

Invariant: neither form runs in a thread whose event loop is running. A notebook's cell is such a thread, and sync tasks
that ran there would be taken for code that blocks a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, cast

from flyte_ray.runtime.interrupt import CtrlC

P = ParamSpec("P")
R = TypeVar("R")
Interrupted = Callable[[], KeyboardInterrupt]
_END: Final = object()
LOOK_S: Final = 0.05
"""Time between two looks whether somebody pressed Ctrl-C."""


class Both(Generic[P, R]):
    """A function with an awaitable form that does not block the caller's loop."""

    def __init__(self, call: Callable[P, R], interrupted: Interrupted | None = None) -> None:
        """Wrap the blocking form.

        Args:
            call: It.
            interrupted: Returns what is raised where Ctrl-C ends a call, unless what was raised says what that did.

        """
        self._call, self._interrupted = call, interrupted
        functools.update_wrapper(self, call)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call and block."""
        __tracebackhide__ = True  # IPython and pytest show the caller's frames then, and not this one
        try:
            if not is_in_loop():
                return self._call(*args, **kwargs)
            return _on_a_thread(functools.partial(self._call, *args, **kwargs))
        except KeyboardInterrupt as error:
            if self._interrupted is None or error.args:
                raise
            raise self._interrupted() from None

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call on a thread and await the result."""
        return await asyncio.to_thread(self._call, *args, **kwargs)

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return self if owner is None else Both(functools.partial(self._call, owner))


class BothOwn(Generic[P, R]):
    """A function with an awaitable form of its own, for what stays in the thread and the context of its caller."""

    def __init__(self, call: Callable[P, R], aio: Callable[P, Coroutine[Any, Any, R]] | None = None) -> None:
        """Wrap the blocking form, and an awaitable one where the call takes time."""
        self._call, self._aio = call, aio
        functools.update_wrapper(self, call)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call."""
        return self._call(*args, **kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call without blocking the loop."""
        return self._call(*args, **kwargs) if self._aio is None else await self._aio(*args, **kwargs)


class BothIterators(Generic[P, R]):
    """A generator function, with a form for `async for` that does not block the caller's loop."""

    def __init__(self, call: Callable[P, Iterator[R]]) -> None:
        """Wrap the blocking form."""
        self._call = call
        functools.update_wrapper(self, call)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        """Call; each step blocks."""
        return self._call(*args, **kwargs)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]:
        """Call; each step is taken on a thread."""
        steps = self._call(*args, **kwargs)
        try:
            while (item := await asyncio.to_thread(next, steps, _END)) is not _END:
                yield cast("R", item)
        finally:
            # A step that the caller's cancellation left behind on its thread still runs: nothing closes it then.
            with contextlib.suppress(ValueError):
                steps.close()  # type: ignore[attr-defined]  # a generator's iterator has it


class BothOfMethod(Generic[P, R]):
    """`Both`, bound to what a method is called on."""

    def __init__(
        self,
        call: Callable[Concatenate[Any, P], R],
        *,
        on_class: bool,
        interrupted: Callable[[Any], KeyboardInterrupt] | None = None,
    ) -> None:
        """Wrap the blocking form."""
        self._call, self._on_class, self._interrupted = call, on_class, interrupted
        self.__doc__ = call.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> Both[P, R]:
        bound = functools.partial(self._call, kind if self._on_class else owner)
        interrupted = functools.partial(self._interrupted, owner) if self._interrupted else None
        return Both(functools.update_wrapper(bound, self._call), interrupted)


class BothIteratorsOfMethod(Generic[P, R]):
    """`BothIterators`, bound to what a method is called on."""

    def __init__(self, call: Callable[Concatenate[Any, P], Iterator[R]], *, on_class: bool) -> None:
        """Wrap the blocking form."""
        self._call, self._on_class = call, on_class
        self.__doc__ = call.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> BothIterators[P, R]:
        bound = functools.partial(self._call, kind if self._on_class else owner)
        return BothIterators(functools.update_wrapper(bound, self._call))


def both_forms(call: Callable[P, R]) -> Both[P, R]:
    """Decorate a function, or a method whose types need not be seen."""
    return Both(call)


def both_forms_of_method(call: Callable[Concatenate[Any, P], R]) -> BothOfMethod[P, R]:
    """Decorate a method."""
    return BothOfMethod(call, on_class=False)


def both_forms_of_wait(
    interrupted: Callable[[Any], KeyboardInterrupt],
) -> Callable[[Callable[Concatenate[Any, P], R]], BothOfMethod[P, R]]:
    """Decorate a method that waits for something which goes on when Ctrl-C ends the waiting; see `Both`."""
    return lambda call: BothOfMethod(call, on_class=False, interrupted=interrupted)


def both_forms_of_class(call: Callable[Concatenate[Any, P], R]) -> BothOfMethod[P, R]:
    """Decorate a method that takes the class; in place of `classmethod`."""
    return BothOfMethod(call, on_class=True)


def both_iterators_of_method(call: Callable[Concatenate[Any, P], Iterator[R]]) -> BothIteratorsOfMethod[P, R]:
    """Decorate a generator method."""
    return BothIteratorsOfMethod(call, on_class=False)


def both_iterators_of_class(call: Callable[Concatenate[Any, P], Iterator[R]]) -> BothIteratorsOfMethod[P, R]:
    """Decorate a generator method that takes the class."""
    return BothIteratorsOfMethod(call, on_class=True)


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread: to block it would stop everything on it."""
    return asyncio._get_running_loop() is not None


def _on_a_thread(call: Callable[[], R]) -> R:
    __tracebackhide__ = True
    outcome: list[R] = []
    errors: list[BaseException] = []

    def work() -> None:
        __tracebackhide__ = True
        try:
            outcome.append(call())
        except BaseException as error:
            errors.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work,), name="flyte-ray-call", daemon=True)
    with CtrlC() as ctrl_c:
        thread.start()
        while thread.is_alive() and not ctrl_c.pressed:
            thread.join(LOOK_S)
        if ctrl_c.pressed:
            _interrupt(thread)
    if errors:
        raise errors[0]
    if ctrl_c.pressed:
        raise KeyboardInterrupt
    return outcome[0]


def _interrupt(thread: threading.Thread) -> None:
    """Have Ctrl-C end the run that a thread executes, if it does; what only waits is left behind."""
    from flyte_ray.api.interrupting import ends_here, still_executed  # these know the whole ledger,
    from flyte_ray.runtime.local import JOIN_S, executed_by, interrupt_run  # which slots do without

    run = executed_by(thread)
    if run is None:
        return
    if not ends_here(run):
        raise KeyboardInterrupt(still_executed(run))
    if interrupt_run(thread):
        # An action that does not look up meanwhile is left behind: only a main thread can be interrupted.
        thread.join(JOIN_S)
