"""An app as plain data: what it runs, where it listens, who may ask it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.spec.parameter import Parameter
from flyte_ray.spec.scaling import Scaling, seconds
from flyte_ray.spec.task import EnvironmentSpec

RESERVED_PORTS: Final = frozenset({8012, 8022, 8112, 9090, 9091})
"""Ports that Flyte keeps for its sidecars; refused, so that a declaration serves both."""
PORT_MARK: Final = "{port}"
"""Stands in a command for the port to listen on."""
MAX_REQUEST_S: Final = 3600.0
APP_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PATH: Final = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True)
class Port:
    """A port that an app listens on.

    Raises:
        InvalidDeclaration: It is no port, or a reserved one.

    Source: `flyte.app.Port`.

    """

    port: int
    name: str | None = None
    """`http1` or `h2c` in Flyte; Serve speaks HTTP/1.1."""

    def __post_init__(self) -> None:
        """Check the number."""
        if not isinstance(self.port, int) or isinstance(self.port, bool) or not 1 <= self.port <= 65535:
            raise InvalidDeclaration(f"A port must be a number from 1 to 65535, got {self.port!r}. Write port=8080.")
        if self.port in RESERVED_PORTS:
            raise InvalidDeclaration(
                f"An app must not use the ports {', '.join(map(str, sorted(RESERVED_PORTS)))}, got {self.port}."
                f" Choose another one, such as 8080."
            )
        if self.name == "h2c":
            raise UnsupportedError(
                f"Ray Serve speaks HTTP/1.1 and WebSocket, got the port {self.port} with the name 'h2c'. Leave the name"
                f" out."
            )


@dataclass(frozen=True)
class Link:
    """A page of an app, shown beside it.

    Source: `flyte.app.Link`.
    """

    path: str
    title: str
    is_relative: bool = False
    """`path` is below the app's own URL."""


@dataclass(frozen=True)
class Timeouts:
    """How long an app may take.

    Raises:
        InvalidDeclaration: A time of another form, or longer than an hour.

    Source: `flyte.app.Timeouts`.

    """

    request: int | timedelta | None = None
    """Until a request has begun to be answered; at most an hour. Seconds or a `timedelta`; None for no limit."""

    def __post_init__(self) -> None:
        """Check the time."""
        limit = self.request_s
        if limit is not None and not 0 < limit <= MAX_REQUEST_S:
            raise InvalidDeclaration(
                f"Timeouts.request must be more than 0 and at most {MAX_REQUEST_S:.0f} s, got {self.request!r}. Write"
                f" request=60."
            )

    @property
    def request_s(self) -> float | None:
        """`request` in seconds."""
        return seconds(self.request, "Timeouts.request")


@dataclass(frozen=True)
class Subdomain:
    """Flyte's way to compute the first part of an app's host name; here it is the app's path.

    Source: `flyte.app.Subdomain`.
    """

    app_name: str | None = None
    project_domain_suffix: Literal["hash", "default"] = "hash"
    """Without effect: there are neither projects nor domains."""
    function: Callable[..., str] | None = None

    @classmethod
    def from_app_name(cls, app_name: str, project_domain_suffix: Literal["hash", "default"] = "hash") -> Subdomain:
        """Take an app's name."""
        return cls(app_name, project_domain_suffix)

    @classmethod
    def from_function(cls, function: Callable[..., str]) -> Subdomain:
        """Compute it; refused where it is used, because the function asks for projects and domains."""
        return cls(function=function)


@dataclass(frozen=True)
class Domain:
    """The address of an app: `Domain(subdomain="x")` is the path `/x` of the cluster's Serve.

    Raises:
        UnsupportedError: A host of its own is asked for.
        InvalidDeclaration: The path has a form that no route may have.

    Source: `flyte.app.Domain`.

    """

    subdomain: str | Subdomain | None = None
    custom_domain: str | None = None

    def __post_init__(self) -> None:
        """Refuse what one address of a cluster cannot give."""
        if self.custom_domain is not None:
            raise UnsupportedError(
                f"An app is a path of the cluster's Serve, got Domain(custom_domain={self.custom_domain!r}). Put a"
                f" proxy that has this name in front of Serve, and let it forward to the app's path."
            )
        if isinstance(self.subdomain, Subdomain) and self.subdomain.function is not None:
            raise UnsupportedError(
                "A subdomain is the app's path here, got one from a function, which asks for projects and domains."
                " Write Domain(subdomain='name')."
            )
        path = self.path
        if path is not None and (not isinstance(path, str) or not _PATH.fullmatch(path) or path.startswith("-")):
            raise InvalidDeclaration(
                f"Domain.subdomain must be a path such as 'shop' or 'team/shop', got {path!r}. Use letters, digits,"
                f" '-' and '_'."
            )

    @property
    def path(self) -> str | None:
        """The route without the first slash; None for that of the app's name."""
        return self.subdomain.app_name if isinstance(self.subdomain, Subdomain) else self.subdomain


@dataclass(frozen=True)
class AppSpec:
    """One app: its environment, its process, its address.

    Raises:
        InvalidDeclaration: The name or a value has another form.
        TypeError: A field has a value of another type.

    """

    environment: EnvironmentSpec
    type: str | None = None
    """Shown to people, such as `FastAPI`."""
    port: Port = field(default_factory=lambda: Port(8080))
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    requires_auth: bool = True
    scaling: Scaling = field(default_factory=Scaling)
    domain: Domain = field(default_factory=Domain)
    links: tuple[Link, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def name(self) -> str:
        """The app's name."""
        return self.environment.name

    @property
    def argv(self) -> tuple[str, ...]:
        """The process to start; empty for an app that is Python code."""
        return self.command + self.args

    @property
    def names_port(self) -> bool:
        """Whether the command names its port itself, so that one node cannot hold two of it."""
        marked = any(PORT_MARK in word for word in self.argv)
        return not marked and any(str(self.port.port) in re.findall(r"\d+", word) for word in self.argv)

    @property
    def route(self) -> str:
        """Where Serve answers for it, with a slash in front."""
        return f"/{self.domain.path or f'apps/{self.name}'}"

    def __post_init__(self) -> None:
        """Check what no other type has checked."""
        if not APP_NAME.fullmatch(self.name):
            raise InvalidDeclaration(
                f"App name {self.name!r} must consist of lower-case letters, digits and '-', because it is a part of"
                f" its address. Write {self.name.replace('_', '-')!r}."
            )
        self._check("requires_auth", self.requires_auth, bool, "True or False")
        self._check("scaling", self.scaling, Scaling, "a Scaling")
        self._check("domain", self.domain, Domain, "a Domain")
        self._check("timeouts", self.timeouts, Timeouts, "a Timeouts")
        for link in self.links:
            self._check("links", link, Link, "a list of flyte.app.Link")
        names = [parameter.name for parameter in self.parameters if isinstance(parameter, Parameter)]
        for parameter in self.parameters:
            self._check("parameters", parameter, Parameter, "a list of flyte.app.Parameter")
            if names.count(parameter.name) > 1:
                raise InvalidDeclaration(
                    f"App '{self.name}': parameters must have different names, got {parameter.name!r} twice. Rename"
                    f" one."
                )

    def _check(self, field_name: str, value: object, kind: Any, expected: str) -> None:
        if not isinstance(value, kind):
            raise TypeError(
                f"App '{self.name}': {field_name} must be {expected}, got {value!r:.80}. Change the argument"
                f" '{field_name}'."
            )


def words_of(name: str, field_name: str, given: Any) -> tuple[str, ...]:
    """Read `args` or `command`: a list of words, or one text that is divided as a shell does.

    Raises:
        TypeError: It is neither.
        InvalidDeclaration: A quote is not closed.

    """
    if given is None:
        return ()
    if isinstance(given, str):
        try:
            return tuple(shlex.split(given))
        except ValueError as error:
            raise InvalidDeclaration(
                f"App '{name}': {field_name} must be words as in a shell, got {given!r}: {error}. Give a list."
            ) from error
    if not isinstance(given, Sequence) or not all(isinstance(word, str) for word in given):
        raise TypeError(f"App '{name}': {field_name} must be text or a list of text, got {given!r:.80}. Write a list.")
    return tuple(given)
