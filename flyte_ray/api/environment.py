"""Let the user declare environments, and tasks in them."""

from __future__ import annotations

import dataclasses
import inspect
import operator
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any, overload

from flyte_ray.api.declared import Environment, calling_file
from flyte_ray.api.settings import system_logger
from flyte_ray.api.task import UNCHANGED, AsyncFunctionTaskTemplate, Documentation, Link, P, R, TaskTemplate, given
from flyte_ray.api.unsupported import refuse_unsupported
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.image import Image
from flyte_ray.spec.interface import build_interface
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
from flyte_ray.spec.task import DEFAULT_MAX_INLINE_IO_BYTES, EnvironmentSpec, TaskSpec
from flyte_ray.spec.trigger import Trigger, triggers_from

__all__ = ["TaskEnvironment", "TaskTemplate"]


class TaskEnvironment(Environment):
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
        depends_on: Sequence[Environment] | None = None,
        description: str | None = None,
        include: Sequence[str] = (),
        interruptible: bool = False,
        queue: str | None = None,
        plugin_config: Any = None,
        pod_template: Any = None,
        service_account: str | None = None,
    ) -> None:
        """Declare an environment; see `EnvironmentSpec` for each field.

        Raises:
            InvalidDeclaration: The name is not in snake_case or kebab-case.
            TypeError: A field has another type than it should.
            UnsupportedError: A field of Flyte's that has no meaning on Ray: the last three.

        """
        foreign = {"plugin_config": plugin_config, "pod_template": pod_template, "service_account": service_account}
        refuse_unsupported(f"Environment '{name}'", foreign)
        spec = EnvironmentSpec(
            name=name,
            image=image,
            resources=resources,
            env_vars=env_vars,
            secrets=secrets,
            reusable=reusable,
            interruptible=interruptible,
            queue=queue,
            description=description,
            include=include,  # type: ignore[arg-type]  # checked there, and made a tuple
            declaring_file=calling_file(),
        )
        super().__init__(spec, depends_on)
        self.cache = cache_from(cache)
        self._tasks: dict[str, TaskTemplate] = {}

    reusable = property(operator.attrgetter("spec.reusable"))
    queue = property(operator.attrgetter("spec.queue"))

    def __repr__(self) -> str:
        return f"TaskEnvironment({self.name!r}, tasks={sorted(self._tasks)})"

    @property
    def tasks(self) -> dict[str, TaskTemplate]:
        """Tasks by qualified name; a copy."""
        return dict(self._tasks)

    def clone_with(
        self,
        name: str,
        image: str | Image | None = UNCHANGED,
        resources: Resources | None = UNCHANGED,
        env_vars: dict[str, str] | None = UNCHANGED,
        secrets: SecretRequest | None = UNCHANGED,
        depends_on: Sequence[Environment] | None = UNCHANGED,
        description: str | None = UNCHANGED,
        interruptible: bool = UNCHANGED,
        include: Sequence[str] = UNCHANGED,
        *,
        cache: CacheRequest = UNCHANGED,
        reusable: ReusePolicy | None = UNCHANGED,
        queue: str | None = UNCHANGED,
        **others: Any,
    ) -> TaskEnvironment:
        """Return an environment of another name with some fields changed; tasks are not copied.

        Raises:
            TypeError: A field that an environment does not have.

        """
        refuse_unsupported(
            f"Environment '{name}'",
            {key: others.pop(key) for key in ("plugin_config", "pod_template", "service_account") if key in others},
        )
        if others:
            raise TypeError(
                f"Unexpected keyword arguments: {sorted(others)}. Environment '{self.name}' can be cloned with another"
                f" name, image, resources, env_vars, secrets, depends_on, description, interruptible, include, cache,"
                f" reusable or queue."
            )
        changes = given(
            image=image,
            resources=resources,
            env_vars=env_vars,
            secrets=secrets,
            depends_on=depends_on,
            description=description,
            interruptible=interruptible,
            include=include,
            cache=cache,
            reusable=reusable,
            queue=queue,
        )
        mine = {item.name: getattr(self.spec, item.name) for item in dataclasses.fields(self.spec)}
        kept = {key: value for key, value in mine.items() if key not in ("name", "declaring_file", "plugin_config")}
        clone = TaskEnvironment(name, **{**kept, "cache": self.cache, "depends_on": list(self.depends_on), **changes})
        if "include" not in changes:
            # Its paths are relative to the file that wrote them.
            clone.spec = dataclasses.replace(clone.spec, declaring_file=self.spec.declaring_file)
        return clone

    @classmethod
    def from_task(
        cls, name: str, *tasks: TaskTemplate, depends_on: Sequence[Environment] | None = None
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
            raise ValueError(f"TaskEnvironment.from_task('{name}') expects at least one task, got none. Pass one.")
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
            made._tasks[spec.name] = type(task)(spec, name)
        return made

    @overload
    def task(self, func: Callable[P, R]) -> AsyncFunctionTaskTemplate[P, R]: ...

    @overload
    def task(
        self, func: None = None, **settings: Any
    ) -> Callable[[Callable[P, R]], AsyncFunctionTaskTemplate[P, R]]: ...

    def task(
        self,
        func: Callable[..., Any] | None = None,
        *,
        short_name: str | None = None,
        cache: CacheRequest | None = None,
        retries: int | RetryStrategy = 0,
        timeout: TimeoutType | None = None,
        docs: Documentation | None = None,
        report: bool = False,
        interruptible: bool | None = None,
        max_inline_io_bytes: int = DEFAULT_MAX_INLINE_IO_BYTES,
        queue: str | None = None,
        links: Sequence[Link] = (),
        entrypoint: bool = False,
        triggers: Trigger | Sequence[Trigger] = (),
        **foreign: Any,
    ) -> Any:
        """Make a function a task: bare (`@env.task`) or with arguments; sync and async functions alike.

        Args:
            func: A function whose parameters have names and annotations.
            short_name: Shown to people; default: the function's name.
            cache: Default: the environment's.
            retries: Attempts after the first one.
            timeout: Seconds, `timedelta` or `Timeout`; None and 0 for no limit.
            docs: Default: the function's docstring.
            report: It writes a report.
            interruptible: Default: the environment's.
            max_inline_io_bytes: Largest sum of its inputs, or outputs, that lie inline.
            queue: Default: the environment's.
            links: Pages about its actions.
            entrypoint: Meant to be run by people.
            triggers: What starts runs of it once it is deployed.
            foreign: Settings that Flyte has and we refuse.

        Raises:
            InvalidDeclaration: The function cannot be a task.
            TypeError: A setting of another type, or one that does not exist.
            UnsupportedError: A setting of Flyte's that has no meaning on Ray.

        """
        settings: dict[str, Any] = {
            "short_name": short_name,
            "cache": self.cache if cache is None else cache_from(cache),
            "retries": retries_from(retries),
            "timeout": timeout_from(timeout),
            "docs": _text_of(docs),
            "report": report,
            "interruptible": self.spec.interruptible if interruptible is None else interruptible,
            "max_inline_io_bytes": max_inline_io_bytes,
            "queue": queue or self.spec.queue,
            "links": tuple(links),
            "entrypoint": entrypoint,
            "triggers": triggers,
        }

        declare: Any = partial(self._declare, foreign=foreign, **settings)
        return declare if func is None else declare(func)

    def _declare(
        self, function: Callable[P, R], foreign: dict[str, Any], **settings: Any
    ) -> AsyncFunctionTaskTemplate[P, R]:
        self._check_function(function, foreign)
        name, interface = f"{self.name}.{function.__name__}", build_interface(function)
        triggers = triggers_from(settings.pop("triggers"), name)
        for trigger in triggers:
            trigger.check_for(name, interface)
        spec = TaskSpec(
            name=name,
            short_name=settings.pop("short_name") or function.__name__,
            func=function,
            interface=interface,
            environment=self.spec,
            triggers=triggers,
            docs=settings.pop("docs") or function.__doc__,
            **settings,
        )
        template: AsyncFunctionTaskTemplate[P, R] = AsyncFunctionTaskTemplate(spec, self.name)
        self._tasks[template.name] = template
        return template

    def _check_function(self, function: Any, foreign: dict[str, Any]) -> None:
        if not isinstance(function, FunctionType):
            raise InvalidDeclaration(
                f"Environment '{self.name}': @env.task expects a function, got {type(function).__name__}"
                f" {function!r:.80}. Put it on a 'def' or 'async def', above all other decorators."
            )
        task = f"Task '{self.name}.{function.__name__}'"
        known = ("pod_template", "service_account", "task_resolver", "produces_artifacts")
        for name in foreign:
            if name not in known:
                raise TypeError(f"{task} has no setting '{name}'. 'help(TaskEnvironment.task)' lists those it has.")
        refuse_unsupported(task, foreign)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidDeclaration(f"{task} must return its output, got a generator. Return a list.")
        bare = [name for name in inspect.signature(function).parameters if name not in function.__annotations__]
        if bare:
            system_logger.warning(
                "%s should say the types of all parameters, got none for %s: their values are pickled. Annotate them.",
                task,
                ", ".join(bare),
            )


def _text_of(docs: Any) -> str | None:
    if docs is not None and not isinstance(docs, Documentation):
        raise TypeError(
            f"@env.task: docs must be a Documentation, got {type(docs).__name__} {docs!r:.80}. Write"
            f" flyte.Documentation('...'), or give the function a docstring."
        )
    return docs.description if docs else None
