"""Environments and tasks as plain data, the form in which they travel below the API."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.image import Image
from flyte_ray.spec.interface import Interface
from flyte_ray.spec.origin import is_installed
from flyte_ray.spec.policies import Cache, RetryStrategy, ReusePolicy, Timeout
from flyte_ray.spec.resources import Resources
from flyte_ray.spec.secret import SecretRequest, secrets_from

DEFAULT_MAX_INLINE_IO_BYTES: Final = 10 * 1024 * 1024
"""Largest sum of an action's inline inputs, or outputs, unless the task says otherwise."""
MAX_DESCRIPTION: Final = 255
_NAME: Final = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")


@dataclass(frozen=True)
class EnvironmentSpec:
    """Where the tasks of an environment run.

    Raises:
        InvalidDeclaration: `name` is neither snake_case nor kebab-case.
        TypeError: A field has a value of another type.

    """

    name: str
    image: str | Image | None = "auto"
    """`auto` or `None`: the processes of the cluster as they are."""
    resources: Resources | None = None
    env_vars: dict[str, str] | None = None
    secrets: SecretRequest | None = None
    reusable: ReusePolicy | None = None
    interruptible: bool = False
    """Whether its slots prefer spot nodes."""
    queue: str | None = None
    description: str | None = None
    """Cut to 255 characters."""
    include: tuple[str, ...] = ()
    """More files for the code bundle, relative to `declaring_file`; folders and globs are allowed."""
    declaring_file: str | None = None
    plugin_config: Any = None

    def __post_init__(self) -> None:
        """Check what the user wrote."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidDeclaration(
                f"Environment name {self.name!r} must be in snake_case or kebab-case format. "
                f"Use lower-case letters and digits, joined by '_' or '-'."
            )
        self._check("image", self.image, (str, Image, type(None)), "an image name, an Image or None")
        self._check("resources", self.resources, (Resources, type(None)), "a Resources")
        self._check("reusable", self.reusable, (ReusePolicy, type(None)), "a ReusePolicy")
        self._check("env_vars", self.env_vars, (dict, type(None)), "a dict of str to str")
        for key, value in (self.env_vars or {}).items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(
                    f"Environment '{self.name}': env_vars must map str to str, got {key!r}: {value!r}. "
                    f"Write the value as text."
                )
        secrets_from(self.secrets)
        if isinstance(self.include, str) or not all(isinstance(item, str) for item in self.include):
            raise TypeError(
                f"Environment '{self.name}': include must be a sequence of paths, got {self.include!r}. "
                f"Write ('file.txt',) for a single one."
            )
        object.__setattr__(self, "include", tuple(self.include))
        if self.description is not None and len(self.description) > MAX_DESCRIPTION:
            object.__setattr__(self, "description", self.description[:MAX_DESCRIPTION])

    def _check(self, field_name: str, value: object, types: tuple[type, ...], expected: str) -> None:
        if not isinstance(value, types):
            raise TypeError(
                f"Environment '{self.name}': {field_name} must be {expected}, got {type(value).__name__} {value!r}. "
                f"Change the argument '{field_name}'."
            )


class Sourced(Protocol):
    """What stands in the user's code: a task, or an app."""

    @property
    def environment(self) -> EnvironmentSpec:
        """Where it runs."""

    @property
    def source_file(self) -> str:
        """The file that declares it."""

    @property
    def module(self) -> str:
        """The name of that file's module in this process."""


@dataclass(frozen=True)
class TaskSpec:
    """One task: its function, where it runs and how failures are treated.

    Raises:
        TypeError: A field has a value of another type.
        InvalidDeclaration: `max_inline_io_bytes` is below 1, or several actions shall share a process and it is sync.

    """

    name: str
    """Qualified name, `<environment>.<function>`."""
    short_name: str
    """Shown to people."""
    func: Callable[..., Any]
    interface: Interface
    environment: EnvironmentSpec
    cache: Cache = field(default_factory=lambda: Cache("disable"))
    retries: RetryStrategy = field(default_factory=lambda: RetryStrategy(0))
    timeout: Timeout = field(default_factory=Timeout)
    max_inline_io_bytes: int = DEFAULT_MAX_INLINE_IO_BYTES
    report: bool = False
    docs: str | None = None
    interruptible: bool = False
    queue: str | None = None
    links: tuple[Any, ...] = ()
    triggers: tuple[Any, ...] = ()
    entrypoint: bool = False

    @property
    def module(self) -> str:
        """The module that declares the function."""
        return self.func.__module__

    @property
    def source_file(self) -> str:
        """The file that declares the function; not that of a library whose decorator stands above it."""
        file: str = getattr(inspect.unwrap(self.func), "__code__", self.func.__code__).co_filename
        # A decorator may hide what it decorates; the environment is the user's in any case.
        declared = self.environment.declaring_file
        return declared if is_installed(file) and declared is not None else file

    def __post_init__(self) -> None:
        """Check what the user wrote and no other type has checked."""
        self._check("short_name", self.short_name, str)
        self._check("queue", self.queue, (str, type(None)))
        for name in ("report", "interruptible", "entrypoint"):
            self._check(name, getattr(self, name), bool)
        reusable = self.environment.reusable
        if reusable is not None and reusable.concurrency > 1 and not self.interface.is_async:
            raise InvalidDeclaration(
                f"Task '{self.name}' must be async to share a process with others, got a sync function and concurrency="
                f"{reusable.concurrency}. Write 'async def', or leave out the concurrency of its ReusePolicy."
            )
        size = self.max_inline_io_bytes
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidDeclaration(
                f"Task '{self.name}': max_inline_io_bytes must be a number of bytes of at least 1, got {size!r}. Write"
                f" {DEFAULT_MAX_INLINE_IO_BYTES} for the default."
            )

    def _check(self, field_name: str, value: object, types: type | tuple[type, ...]) -> None:
        if not isinstance(value, types):
            wanted = types[0] if isinstance(types, tuple) else types
            raise TypeError(
                f"Task '{self.name}': {field_name} must be a {wanted.__name__}, got {type(value).__name__}"
                f" {value!r:.80}. Change the argument '{field_name}'."
            )
