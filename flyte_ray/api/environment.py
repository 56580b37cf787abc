"""Let the user declare environments and tasks, and call them.

A task called inside a run becomes an action; called outside, it is the plain function.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, Final

from flyte_ray.errors import SyncTaskCallInAsyncContextError
from flyte_ray.runtime.context import current_action
from flyte_ray.spec.image import Image
from flyte_ray.spec.interface import Interface, bind, build_interface
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
from flyte_ray.spec.task import EnvironmentSpec, TaskSpec
from flyte_ray.types import inputs_schema

_UNCHANGED: Final[Any] = type("Unchanged", (), {"__repr__": lambda self: "unchanged"})()


class TaskTemplate:
    """A task: what `@env.task` returns. Mirrors Flyte's `TaskTemplate`."""

    def __init__(self, spec: TaskSpec, owner: str | None = None) -> None:
        """Wrap a declared function; `owner` names the environment that declared it."""
        self.spec = spec
        self.parent_env_name = owner
        self.__doc__ = spec.func.__doc__
        self.__name__ = spec.func.__name__
        self.__wrapped__ = spec.func

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
        """The function's docstring."""
        return self.spec.docs

    @property
    def source_file(self) -> str:
        """The file that declares the function."""
        return self.spec.func.__code__.co_filename

    @property
    def interface(self) -> Interface:
        """Parameters and return annotation."""
        return self.spec.interface

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON schema of the inputs: an object with one property per parameter."""
        return inputs_schema(self.spec.interface, self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as an action inside a run, as a plain function outside; an async task returns an awaitable."""
        action = current_action.get()
        if action is None:
            return self.spec.func(*args, **kwargs)
        values = bind(self.spec.interface, self.name, args, kwargs)
        if self.spec.interface.is_async:
            return action.controller.call_async(self.spec, values)
        if in_loop():
            raise SyncTaskCallInAsyncContextError(
                f"Task '{self.name}' is sync and was called from async code, which it would block. Write"
                f" 'await {self.spec.func.__name__}.aio(...)'."
            )
        return action.controller.call(self.spec, values)

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Await the task from async code, whether it is sync or async."""
        action = current_action.get()
        if action is None:
            result = self.spec.func(*args, **kwargs)
            return await result if self.spec.interface.is_async else result
        return await action.controller.call_async(self.spec, bind(self.spec.interface, self.name, args, kwargs))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function, also inside a run."""
        return self.spec.func(*args, **kwargs)

    def override(
        self,
        *,
        short_name: str = _UNCHANGED,
        retries: int | RetryStrategy = _UNCHANGED,
        timeout: TimeoutType | None = _UNCHANGED,
        cache: CacheRequest = _UNCHANGED,
        resources: Resources | None = _UNCHANGED,
        env_vars: dict[str, str] | None = _UNCHANGED,
    ) -> TaskTemplate:
        """Return the task with other settings; what is not given stays, and `retries=0` or `timeout=None` do apply."""
        given: dict[str, Any] = {
            "short_name": short_name,
            "retries": retries if retries is _UNCHANGED else retries_from(retries),
            "timeout": timeout if timeout is _UNCHANGED else timeout_from(timeout),
            "cache": cache if cache is _UNCHANGED else cache_from(cache),
        }
        outer: dict[str, Any] = {"resources": resources, "env_vars": env_vars}
        environment = dataclasses.replace(self.spec.environment, **_only_given(outer))
        changed = dataclasses.replace(self.spec, environment=environment, **_only_given(given))
        return TaskTemplate(changed, self.parent_env_name)


class TaskEnvironment:
    """The hardware and software of its tasks. Mirrors Flyte's `TaskEnvironment`."""

    def __init__(
        self,
        name: str,
        *,
        image: str | Image | None = "auto",
        resources: Resources | None = None,
        env_vars: dict[str, str] | None = None,
        secrets: SecretRequest | None = None,
        cache: CacheRequest = "disable",
        reusable: ReusePolicy | None = None,
        depends_on: list[TaskEnvironment] | None = None,
        description: str | None = None,
        include: tuple[str, ...] = (),
        interruptible: bool = False,
        queue: str | None = None,
    ) -> None:
        """Declare an environment; see `EnvironmentSpec` for each field.

        Raises:
            InvalidDeclaration: The name is not in snake_case or kebab-case.
            TypeError: A field has another type than it should.

        """
        self.spec = EnvironmentSpec(
            name=name,
            image=image,
            resources=resources,
            env_vars=env_vars,
            secrets=secrets,
            reusable=reusable,
            interruptible=interruptible,
            queue=queue,
            description=description,
            include=include,
            declaring_file=sys._getframe(1).f_code.co_filename,
        )
        self.cache = cache_from(cache)
        self.depends_on: list[TaskEnvironment] = []
        self._tasks: dict[str, TaskTemplate] = {}
        self.add_dependency(*(depends_on or ()))

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.spec.name

    @property
    def tasks(self) -> dict[str, TaskTemplate]:
        """Tasks by qualified name."""
        return dict(self._tasks)

    def clone_with(self, name: str, **changes: Any) -> TaskEnvironment:
        """Return an environment of another name with some fields changed; tasks are not copied.

        Args:
            name: Of the new environment.
            changes: Any field of the constructor; what is not given stays.

        """
        mine = {item.name: getattr(self.spec, item.name) for item in dataclasses.fields(self.spec)}
        kept = {key: value for key, value in mine.items() if key not in ("name", "declaring_file", "plugin_config")}
        return TaskEnvironment(name, **{**kept, "cache": self.cache, "depends_on": list(self.depends_on), **changes})

    @classmethod
    def from_task(
        cls, name: str, *tasks: TaskTemplate, depends_on: list[TaskEnvironment] | None = None
    ) -> TaskEnvironment:
        """Make an environment of tasks that no environment has declared.

        Args:
            name: Of the new environment.
            tasks: At least one; all with the same image.
            depends_on: Environments whose tasks they call.

        Raises:
            ValueError: There is no task, their images differ, or one belongs to an environment already.

        """
        if not tasks:
            raise ValueError(f"TaskEnvironment.from_task('{name}') expects at least one task, got none.")
        for task in tasks:
            if task.parent_env_name is not None:
                raise ValueError(
                    f"Task '{task.name}' belongs to environment '{task.parent_env_name}' already. Call it from there,"
                    f" or declare it again under '{name}'."
                )
        first = tasks[0].spec.environment
        if any(task.spec.environment.image != first.image for task in tasks):
            raise ValueError(f"The tasks of environment '{name}' should share one image, got several. Split them.")
        made = cls(name, image=first.image, resources=first.resources, env_vars=first.env_vars, depends_on=depends_on)
        for task in tasks:
            spec = dataclasses.replace(task.spec, name=f"{name}.{task.spec.func.__name__}", environment=made.spec)
            made._tasks[spec.name] = TaskTemplate(spec, name)
        return made

    def add_dependency(self, *environments: TaskEnvironment) -> None:
        """Name environments whose tasks are called from here; naming one twice changes nothing."""
        for environment in environments:
            if environment is self:
                raise ValueError(f"Environment '{self.name}' cannot depend on itself. Leave it out of depends_on.")
            if environment not in self.depends_on:
                self.depends_on.append(environment)

    def task(
        self,
        func: Callable[..., Any] | None = None,
        *,
        short_name: str | None = None,
        cache: CacheRequest | None = None,
        retries: int | RetryStrategy = 0,
        timeout: TimeoutType | None = None,
        report: bool = False,
    ) -> Any:
        """Make a function a task: bare (`@env.task`) or with arguments; sync and async functions alike."""

        def declare(function: Callable[..., Any]) -> TaskTemplate:
            template = TaskTemplate(
                TaskSpec(
                    name=f"{self.name}.{function.__name__}",
                    short_name=short_name or function.__name__,
                    func=function,
                    interface=build_interface(function),
                    environment=self.spec,
                    cache=self.cache if cache is None else cache_from(cache),
                    retries=retries_from(retries),
                    timeout=timeout_from(timeout),
                    report=report,
                    docs=function.__doc__,
                ),
                self.name,
            )
            self._tasks[template.name] = template
            return template

        return declare if func is None else declare(func)


def _only_given(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not _UNCHANGED}


def in_loop() -> bool:
    """Whether an event loop runs on the calling thread."""
    import asyncio  # at call time only: declaring tasks does not need it

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
