"""Serve an app in the user's own process, without Ray: for tests and while one writes it."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Final, Protocol

from flyte_ray.api.both import both_forms
from flyte_ray.apps import addresses, context
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.apps.handle import Switched
from flyte_ray.apps.parameters import Values
from flyte_ray.apps.process import Command
from flyte_ray.apps.readiness import HOST, answers, wait_until
from flyte_ray.apps.threads import AsgiThread, FunctionThread
from flyte_ray.errors import DeploymentError
from flyte_ray.ledger import callbacks


@dataclass(frozen=True)
class Patience:
    """How long a local app may take."""

    activate_s: float = 60.0
    deactivate_s: float = 6.0
    check_s: float = 2.0
    """For one answer to the question whether it is ready."""
    interval_s: float = 1.0
    """Longest pause between two such questions."""
    path: str = "/health"
    """What is asked for; every answer will do but those that say not yet: 502, 503, 504."""


class Running(Protocol):
    """What serves."""

    def failure(self) -> str:
        """Say why it ended; empty while it lives."""

    def stop(self, patience_s: float) -> None:
        """End it."""


class LocalApp(Switched):
    """An app that this process serves."""

    def __init__(self, env: AppEnvironment, values: Values, patience: Patience, context: context.AppContext) -> None:
        """Hold it; `activate` starts it."""
        self._env, self._values, self._patience, self._context = env, values, patience, context
        self._running: Running | None = None
        self._variables: dict[str, str | None] = {}

    @property
    def name(self) -> str:
        """The app's name."""
        return str(self._env.name)

    @property
    def endpoint(self) -> str:
        """The URL below which it answers."""
        return f"http://localhost:{self._env.get_port().port}"

    url = endpoint

    def __repr__(self) -> str:
        return f"LocalApp({self.name!r}, {self.endpoint!r}, {'active' if self.is_active() else 'deactivated'})"

    def is_active(self) -> bool:
        """Whether it takes requests."""
        return self._running is not None and not self._running.failure()

    def is_deactivated(self) -> bool:
        """Whether it was switched off."""
        return self._running is None

    @both_forms
    def activate(self, wait: bool = False) -> LocalApp:
        """Switch it on, unless it is; returns when it answers, whatever `wait` says.

        Raises:
            DeploymentError: The port is taken, the app's code or command failed, or it does not answer in time.

        """
        if self._running is not None and self._running.failure():
            self._end()
        if self._running is None:
            self._start()
        return self

    @both_forms
    def deactivate(self, wait: bool = False) -> LocalApp:
        """Switch it off; returns when it has ended."""
        self._end()
        return self

    def _start(self) -> None:
        if self.name in addresses.here:
            raise DeploymentError(
                f"App '{self.name}' is served by this process already, at {addresses.here[self.name]}. Deactivate that"
                f" first."
            )
        port = self._env.get_port().port
        listener = _listen(self.name, port)
        if self._env.asgi is None:
            listener.close()  # it was only to see that the port is free
        self._set_variables()
        try:
            running = self._begin(listener, port)
        except BaseException:
            listener.close()
            self._put_back_variables()
            raise
        self._running = running
        addresses.here[self.name] = self.endpoint
        if self._env.is_api:
            callbacks.here.append(self.endpoint)
        _served.append(self)
        patience = self._patience
        failed = wait_until(
            lambda: answers(port, patience.path, patience.check_s),
            running.failure,
            patience.activate_s,
            patience.interval_s,
        )
        if failed:
            self._end()
            raise DeploymentError(
                f"App '{self.name}' should answer at {self.endpoint}{patience.path}, but {failed}"
                f"{'' if failed.count(chr(10)) else '. Does it listen on that port?'}"
            )

    def _begin(self, listener: socket.socket, port: int) -> Running:
        env, values = self._env, self._values
        token = context.given.set(context.Given(self.name, self._context, values.parameters))
        try:
            if env.asgi is not None:
                return AsgiThread(self.name, env.asgi, env, values.parameters, listener, env.uvicorn_config)
            if env.server_function is not None:
                return FunctionThread(self.name, env, values.parameters, port)
        finally:
            context.given.reset(token)
        return Command(env.app_spec.argv, port, {**values.variables, **context.as_variables(values.parameters)})

    def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.stop(self._patience.deactivate_s)
            addresses.here.pop(self.name, None)
            if self._env.is_api:
                callbacks.here.remove(self.endpoint)
            _served.remove(self)
            self._put_back_variables()

    def _set_variables(self) -> None:
        """Give code in this process its variables; a command gets them as its own."""
        if not self._env.app_spec.argv:
            self._variables = {name: os.environ.get(name) for name in self._values.variables}
            os.environ.update(self._values.variables)

    def _put_back_variables(self) -> None:
        before, self._variables = self._variables, {}
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _listen(app: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise DeploymentError(
            f"App '{app}' should listen on port {port} of {HOST}, but: {error.strerror}. End what uses that port, or"
            f" declare another one."
        ) from error
    return listener


_served: Final[list[LocalApp]] = []


@atexit.register
def _end_all() -> None:
    for app in list(_served):
        with contextlib.suppress(DeploymentError):
            app.deactivate(wait=True)
