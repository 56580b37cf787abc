"""The task object: what `@env.task` returns.

A task called inside a run becomes an action; called outside, it is the plain function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from flyte_ray.api.both import is_in_loop
from flyte_ray.api.unsupported import refuse_unsupported
from flyte_ray.errors import InvalidDeclaration, SyncTaskCallInAsyncContextError
from flyte_ray.runtime.context import current_action
from flyte_ray.spec.interface import Interface, bind
from flyte_ray.spec.policies import (
    CacheRequest,
    RetryStrategy,
    ReusePolicy,
    TimeoutType,
    cache_from,
    retries_from,
    timeout_from,
)
from flyte_ray.spec.resources import Resources
from flyte_ray.spec.secret import SecretRequest
from flyte_ray.spec.task import TaskSpec
from flyte_ray.types import inputs_schema

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
AnyTask = TypeVar("AnyTask", bound="TaskTemplate")
UNCHANGED: Final[Any] = type("Unchanged", (), {"__repr__": lambda self: "unchanged"})()
"""Default of what may be changed: so `None`, `0` and `()` are values like any other."""
_FIXED: Final = ("name", "image", "docs", "interface")
_FOREIGN: Final = (
    "pod_template",
    "service_account",
    "plugin_config",
    "task_resolver",
    "produces_artifacts",
    "triggers",
)


@dataclasses.dataclass(frozen=True)
class Documentation:
    """What a task says of itself instead of its docstring. Mirrors Flyte's `Documentation`."""

    description: str


class Link(Protocol):
    """Makes the address of a page about an action, such as a dashboard's. Mirrors Flyte's `Link`."""

    name: str

    def get_link(self, run_name: str, **about: Any) -> str:
        """Return the page's address."""


class TaskTemplate:
    """A task, whatever its function takes and returns. Mirrors Flyte's `TaskTemplate`."""

    def __init__(self, spec: TaskSpec, owner: str | None = None) -> None:
        """Wrap a declared function; `owner` names the environment that declared it."""
        self.spec = spec
        self.parent_env_name = owner
        self.__doc__ = spec.func.__doc__
        self.__name__ = spec.func.__name__
        self.__wrapped__ = spec.func

    def __repr__(self) -> str:
        return f"TaskTemplate({self.name!r})"

    @property
    def name(self) -> str:
        """Qualified name, `<environment>.<function>`."""
        return self.spec.name

    @property
    def short_name(self) -> str:
        """What is shown to people; the function's name unless the task says otherwise."""
        return self.spec.short_name

    @property
    def docs(self) -> str | None:
        """What the task says of itself: its `Documentation`, else the function's docstring."""
        return self.spec.docs

    @property
    def source_file(self) -> str:
        """The file that declares the function."""
        return self.spec.source_file

    @property
    def interface(self) -> Interface:
        """Parameters and return annotation."""
        return self.spec.interface

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON schema of the inputs: an object with one property per parameter."""
        return inputs_schema(self.spec.interface, self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as an action inside a run, as a plain function outside; an async task returns an awaitable.

        Raises:
            TypeError: An argument is missing, unexpected or of another type than its parameter; nothing is queued.
            SyncTaskCallInAsyncContextError: A sync task was called where it would block an event loop.
            BaseRuntimeError: The action failed; retries are used up.

        """
        action = current_action.get()
        if action is None:
            return self.spec.func(*args, **kwargs)
        values = bind(self.spec.interface, self.name, args, kwargs)
        if self.spec.interface.is_async:
            call = action.controller.call_async(self.spec, values)
            # What is said of a coroutine that nobody awaits names it so.
            call.__qualname__ = self.name  # type: ignore[attr-defined]  # every coroutine of a function has it
            return call
        if is_in_loop():
            raise SyncTaskCallInAsyncContextError(
                f"Task '{self.name}' is sync and was called from async code, which it would block. Write"
                f" 'await {self.spec.func.__name__}.aio(...)'."
            )
        return action.controller.call(self.spec, values)

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Await the task from async code, whether it is sync or async; outside a run, the plain function."""
        action = current_action.get()
        if action is None:
            result = self.spec.func(*args, **kwargs)
            return await result if self.spec.interface.is_async else result
        return await action.controller.call_async(self.spec, bind(self.spec.interface, self.name, args, kwargs))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function, also inside a run."""
        return self.spec.func(*args, **kwargs)

    def override(
        self: AnyTask,
        *,
        short_name: str = UNCHANGED,
        resources: Resources | None = UNCHANGED,
        cache: CacheRequest = UNCHANGED,
        retries: int | RetryStrategy = UNCHANGED,
        timeout: TimeoutType | None = UNCHANGED,
        reusable: ReusePolicy | Literal["off"] | None = UNCHANGED,
        env_vars: dict[str, str] | None = UNCHANGED,
        secrets: SecretRequest | None = UNCHANGED,
        max_inline_io_bytes: int = UNCHANGED,
        queue: str | None = UNCHANGED,
        interruptible: bool = UNCHANGED,
        entrypoint: bool = UNCHANGED,
        links: Sequence[Link] = UNCHANGED,
        **others: Any,
    ) -> AnyTask:
        """Return the task with other settings; what is not given stays, and `retries=0` or `timeout=None` do apply.

        Raises:
            InvalidDeclaration: A setting that makes the task what it is (name, image, docs, interface), or one of
                resources, env_vars and secrets while the processes are reused and `reusable="off"` is not given.
            UnsupportedError: A setting of Flyte's that has no meaning on Ray.
            TypeError: An unknown setting, or a value of another type.

        """
        self._refuse(others)
        outer = given(
            resources=resources,
            env_vars=env_vars,
            secrets=secrets,
            reusable=None if reusable == "off" else reusable,
            queue=queue,
            interruptible=interruptible,
        )
        if self.spec.environment.reusable is not None and reusable != "off":
            for name in ("resources", "env_vars", "secrets"):
                if name in outer:
                    raise InvalidDeclaration(
                        f"Task '{self.name}' runs in processes that are reused, got other {name}, which those lack."
                        f" Write override({name}=..., reusable='off')."
                    )
        inner = given(
            short_name=short_name,
            retries=retries if retries is UNCHANGED else retries_from(retries),
            timeout=timeout if timeout is UNCHANGED else timeout_from(timeout),
            cache=cache if cache is UNCHANGED else cache_from(cache),
            max_inline_io_bytes=max_inline_io_bytes,
            queue=queue,
            interruptible=interruptible,
            entrypoint=entrypoint,
            links=links if links is UNCHANGED else tuple(links),
        )
        environment = dataclasses.replace(self.spec.environment, **outer) if outer else self.spec.environment
        return type(self)(dataclasses.replace(self.spec, environment=environment, **inner), self.parent_env_name)

    def _refuse(self, others: dict[str, Any]) -> None:
        for name in others:
            if name in _FIXED:
                raise InvalidDeclaration(
                    f"{name.capitalize()} cannot be overridden, got {others[name]!r:.80} for task '{self.name}'."
                    f" Declare another task, or clone its environment with env.clone_with(...)."
                )
            if name not in _FOREIGN:
                raise TypeError(
                    f"Task '{self.name}' has no setting '{name}'. Those that can be overridden: short_name, resources,"
                    f" cache, retries, timeout, reusable, env_vars, secrets, max_inline_io_bytes, queue,"
                    f" interruptible, entrypoint, links."
                )
        refuse_unsupported(f"Task '{self.name}'", others)


class AsyncFunctionTaskTemplate(TaskTemplate, Generic[P, R]):
    """What `@env.task` returns: a task that type checkers know by its function's parameters and result.

    `task(x)` has the type that the function's call has; `await task.aio(x)` has that of the output, be the function
    sync or async. Mirrors Flyte's class of this name, which holds sync functions too.
    """

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Run as an action inside a run, as a plain function outside."""

        def forward(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the plain function, also inside a run."""

        @overload
        async def aio(
            self: AsyncFunctionTaskTemplate[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
        ) -> T: ...

        @overload
        async def aio(self: AsyncFunctionTaskTemplate[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...

        async def aio(self, *args: Any, **kwargs: Any) -> Any:
            """Await the task from async code, whether it is sync or async."""


def given(**settings: Any) -> dict[str, Any]:
    """Return the settings that have a value, be it None."""
    return {key: value for key, value in settings.items() if value is not UNCHANGED}
