"""Let the user declare apps."""

from __future__ import annotations

import dataclasses
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from flyte_ray.api.declared import Environment, calling_file
from flyte_ray.api.task import given
from flyte_ray.api.unsupported import ignore_foreign, refuse_unsupported
from flyte_ray.apps.addresses import endpoint_of
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.ledger.apps import Kind
from flyte_ray.spec.app import AppSpec, Domain, Link, Port, Timeouts, words_of
from flyte_ray.spec.image import Image
from flyte_ray.spec.parameter import Parameter
from flyte_ray.spec.resources import Resources
from flyte_ray.spec.scaling import Scaling
from flyte_ray.spec.secret import SecretRequest
from flyte_ray.spec.task import EnvironmentSpec

_REFUSED: Final = ("cluster", "pod_template", "service_account")
_IGNORED: Final = ("cluster_pool",)
F = TypeVar("F", bound=Callable[..., Any])


class AppEnvironment(Environment):
    """An app with its hardware and software. Mirrors `flyte.app.AppEnvironment`."""

    def __init__(
        self,
        name: str,
        *,
        image: str | Image | None = "auto",
        resources: Resources | None = None,
        env_vars: dict[str, str] | None = None,
        secrets: SecretRequest | None = None,
        depends_on: Sequence[Environment] | None = None,
        description: str | None = None,
        include: Sequence[str] = (),
        interruptible: bool = False,
        type: str | None = None,
        port: int | Port = 8080,
        args: list[str] | str | None = None,
        command: list[str] | str | None = None,
        requires_auth: bool = True,
        scaling: Scaling | None = None,
        domain: Domain | None = None,
        links: Sequence[Link] = (),
        parameters: Sequence[Parameter] = (),
        timeouts: Timeouts | None = None,
        **foreign: Any,
    ) -> None:
        """Declare an app; see `EnvironmentSpec` and `AppSpec` for each field.

        Its process is either a function (`server`), or a command that listens on a port: `command` with `args` behind
        it, in which `{port}` stands for the port; the variable `PORT` has it, too.

        Raises:
            InvalidDeclaration: The name is not of lower-case letters, digits and `-`, or a value is impossible.
            TypeError: A field has another type than it should.
            UnsupportedError: A field of Flyte's that has no meaning on Ray, such as `cluster`.

        """
        refuse_unsupported(f"App '{name}'", {key: foreign.pop(key) for key in _REFUSED if key in foreign})
        ignore_foreign("AppEnvironment", foreign, _IGNORED)
        spec = EnvironmentSpec(
            name=name,
            image=image,
            resources=resources,
            env_vars=env_vars,
            secrets=secrets,
            interruptible=interruptible,
            description=description,
            include=include,  # type: ignore[arg-type]  # checked there, and made a tuple
            declaring_file=calling_file(*self._between()),
        )
        super().__init__(spec, depends_on)
        self.app_spec = AppSpec(
            spec,
            type=type,
            port=port if isinstance(port, Port) else Port(port),
            args=words_of(name, "args", args),
            command=words_of(name, "command", command),
            requires_auth=requires_auth,
            links=tuple(links),
            parameters=tuple(parameters),
            **_said(scaling=scaling, domain=domain, timeouts=timeouts),
        )

    made: frozenset[str] = frozenset()
    """Arguments of a class above that this one gives itself."""
    server_function: Callable[..., Any] | None = None
    assigned_port: Port | None = None
    """The port that the app's own process was given."""
    is_api: bool = False
    """Whether it is the HTTP API of its root, by which conditions can be answered."""
    startup: Callable[..., Any] | None = None
    shutdown: Callable[..., Any] | None = None
    type = property(operator.attrgetter("app_spec.type"))
    port = property(operator.attrgetter("app_spec.port"))
    args = property(operator.attrgetter("app_spec.args"))
    command = property(operator.attrgetter("app_spec.command"))
    requires_auth = property(operator.attrgetter("app_spec.requires_auth"))
    scaling = property(operator.attrgetter("app_spec.scaling"))
    domain = property(operator.attrgetter("app_spec.domain"))
    links = property(operator.attrgetter("app_spec.links"))
    parameters = property(operator.attrgetter("app_spec.parameters"))
    timeouts = property(operator.attrgetter("app_spec.timeouts"))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.name!r})"

    @property
    def asgi(self) -> Any:
        """The ASGI app that it serves; None if its process is something else."""
        return None

    uvicorn_config: Any = None
    """How uvicorn serves an ASGI app in local mode, as a `uvicorn.Config`."""

    @property
    def kind(self) -> Kind | None:
        """What its process is; None if it has none."""
        if self.asgi is not None:
            return "asgi"
        return "server" if self.server_function else "command" if self.app_spec.argv else None

    @property
    def endpoint(self) -> str:
        """The URL below which the app answers, without a slash at its end.

        Raises:
            DeploymentError: It is not served.

        """
        return endpoint_of(self.name)

    def scope_of(self, scope: Any) -> str:
        """Return the scope that a token needs for a request, which is described by its ASGI scope."""
        return f"app:{self.name}"

    def get_port(self) -> Port:
        """Return the port that the app listens on: the declared one, in a replica of a cluster another one."""
        return self.assigned_port or self.app_spec.port

    def server(self, func: F) -> F:
        """Make a function the app's process: it listens on `get_port()` and goes on until it is ended.

        It and the two below may be sync or async, and get those parameters of the app that they name.

        Raises:
            InvalidDeclaration: The app has another process already, or the function asks for what is no parameter.

        """
        if self.asgi is not None or self.app_spec.argv:
            raise InvalidDeclaration(
                f"App '{self.name}' has a process already, {self._process()}; @server would be a second one. Leave one"
                f" of them out."
            )
        self._check_function("server", func, self.server_function)
        self.server_function = func
        return func

    def on_startup(self, func: F) -> F:
        """Have a function called before the app takes requests; see `server`."""
        self._check_hook("on_startup", func, self.startup)
        self.startup = func
        return func

    def on_shutdown(self, func: F) -> F:
        """Have a function called when the app has stopped taking requests; see `server`."""
        self._check_hook("on_shutdown", func, self.shutdown)
        self.shutdown = func
        return func

    def clone_with(self, name: str, **changes: Any) -> AppEnvironment:
        """Return an app of another name with some fields changed; its functions go along.

        Raises:
            TypeError: A field that an app does not have.

        """
        known = _fields_of(self.__class__)
        for field in changes:
            if field not in known:
                raise TypeError(f"App '{self.name}' cannot be cloned with {field!r}. It has: {', '.join(known)}.")
        clone = self.__class__(name, **{**{field: getattr(self, field) for field in known}, **given(**changes)})
        if "include" not in changes:
            # Its paths are relative to the file that wrote them.
            clone.spec = dataclasses.replace(clone.spec, declaring_file=self.spec.declaring_file)
        clone.server_function, clone.startup, clone.shutdown = self.server_function, self.startup, self.shutdown
        return clone

    def _between(self) -> tuple[str, ...]:
        """Files of the constructors between the user's code and this one."""
        return tuple(inspect.getfile(kind) for kind in self.__class__.__mro__[:-1])

    def _process(self) -> str:
        return f"the command {' '.join(self.app_spec.argv)!r}" if self.app_spec.argv else "an ASGI app"

    def _check_hook(self, kind: str, func: Any, before: Any) -> None:
        if self.app_spec.argv:
            raise InvalidDeclaration(
                f"App '{self.name}': @{kind} goes with a Python app, got {self._process()}. Do it in the command."
            )
        self._check_function(kind, func, before)

    def _check_function(self, kind: str, func: Any, before: Any) -> None:
        if not inspect.isroutine(func):
            raise InvalidDeclaration(f"App '{self.name}': @{kind} expects a function, got {func!r:.80}. Put it on one.")
        if before is not None:
            raise InvalidDeclaration(
                f"App '{self.name}' has an @{kind} function already, {before.__name__}, got {func.__name__}. Join them."
            )
        names = [parameter.name for parameter in self.app_spec.parameters]
        for item in inspect.signature(func).parameters.values():
            if item.default is item.empty and item.name not in names and item.kind not in (2, 4):
                raise InvalidDeclaration(
                    f"App '{self.name}': @{kind} may ask for parameters of the app, got {item.name!r}. It has:"
                    f" {', '.join(names) or 'none'}. Declare it in parameters."
                )


def _said(**fields: Any) -> dict[str, Any]:
    """The fields that were not left out."""
    return {name: value for name, value in fields.items() if value is not None}


def _fields_of(kind: type[AppEnvironment]) -> list[str]:
    """The arguments that a kind of app can be declared with, but for its name and those that are refused."""
    constructors = [each.__dict__["__init__"] for each in kind.__mro__ if issubclass(each, AppEnvironment)]
    items = [item for each in constructors for item in inspect.signature(each).parameters.values()]
    return [item.name for item in items if item.kind is item.KEYWORD_ONLY and item.name not in kind.made]
