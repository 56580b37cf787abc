"""Let a task return a value, or raise, in place of what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flyte_ray.api.task import TaskTemplate

_NOTHING: Final = object()


@contextmanager
def stub(
    task: TaskTemplate,
    *,
    returns: Any = _NOTHING,
    raises: BaseException | None = None,
    does: Callable[..., Any] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Replace what a task does while this is open, in this process; its calls are actions as ever, with checked inputs.

    Args:
        task: The task. An `override` of it that was made before is another one.
        returns: What it returns; checked against its annotation, as its own value would be.
        raises: What it raises.
        does: A plain function to call with its inputs; for values that depend on them.

    Yields:
        The inputs of each call so far, by parameter.

    Raises:
        TypeError: None of the three is given, or more than one.

    """
    if sum((returns is not _NOTHING, raises is not None, does is not None)) != 1:
        raise TypeError("testing.stub needs one of returns=, raises= and does=. Write stub(task, returns=3).")
    calls: list[dict[str, Any]] = []
    real, parameters = task.spec.func, [item.name for item in task.spec.interface.parameters]

    def answer(*args: Any, **kwargs: Any) -> Any:
        calls.append({**dict(zip(parameters, args, strict=False)), **kwargs})
        if raises is not None:
            raise raises
        return does(*args, **kwargs) if does is not None else returns

    async def answer_later(*args: Any, **kwargs: Any) -> Any:
        return answer(*args, **kwargs)

    fake: Any = answer_later if task.spec.interface.is_async else answer
    fake.__name__, fake.__qualname__, fake.__module__ = real.__name__, real.__qualname__, real.__module__
    object.__setattr__(task.spec, "func", fake)  # frozen for everybody else
    try:
        yield calls
    finally:
        object.__setattr__(task.spec, "func", real)
