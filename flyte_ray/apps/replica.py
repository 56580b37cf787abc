"""Serve an app in a replica of Ray Serve.

Runs below `cluster/replica_class.py`, with the app's record. Knows nothing of Ray.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from flyte_ray.apps import context
from flyte_ray.apps.auth import Guarded, Tokens
from flyte_ray.apps.calling import ask
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.apps.functions import Hooked
from flyte_ray.apps.lifespan import Lifespan
from flyte_ray.apps.own_secrets import confidentially, give_replica
from flyte_ray.apps.parameters import Values, materialize
from flyte_ray.apps.process import Command
from flyte_ray.apps.proxy import Proxy
from flyte_ray.apps.reference import find_top, load
from flyte_ray.apps.supervision import Supervisor
from flyte_ray.apps.timeouts import Timely
from flyte_ray.cluster.code import unpack_code
from flyte_ray.errors import BaseRuntimeError, DeploymentError
from flyte_ray.ledger.apps import AppRecord
from flyte_ray.ledger.tokens import find_token
from flyte_ray.storage import open_store
from flyte_ray.storage.providers import Options
from flyte_ray.storage.working import ROOT_VAR, configure


class Serving(Protocol):
    """What answers the requests of a replica."""

    async def start(self) -> None:
        """Begin; raises where it cannot."""

    async def stop(self) -> None:
        """End."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""

    def failure(self) -> str:
        """Say why this replica should be replaced; empty if it should not."""


class Replica:
    """What one replica runs: an ASGI app that begins before Serve asks it to."""

    def __init__(self, about: Mapping[str, Any], root: str, storage: Options) -> None:
        """Find the app's code and its parameters.

        Args:
            about: The fields of its record.
            root: The root's URI.
            storage: fsspec arguments by protocol.

        """
        os.environ[ROOT_VAR] = root  # code of the app starts runs, and asks for other apps, where it belongs
        configure(storage)
        self._record = record = AppRecord(**about)
        store = open_store(root, storage)
        unpack_code(store, record.code)
        give_replica(record.name, store)  # before its code is imported, which may ask for them
        self._requests, self._counted = 0, (0, time.monotonic())
        with confidentially():
            env = load(record.reference, record.name)
            values = materialize(env.app_spec, record.parameters, record.env_vars)
            self._serving = _serving_of(env, record, values)
        self._app: Any = self._serving
        limit_s = env.app_spec.timeouts.request_s
        if limit_s is not None:
            self._app = Timely(self._app, limit_s)
        if env.app_spec.requires_auth:
            self._app = Guarded(self._app, Tokens(partial(find_token, store)), env.scope_of)

    async def start(self) -> None:
        """Begin; returns when requests can be answered.

        Raises:
            DeploymentError: It does not begin; the message has the user's traceback, or the command's last lines.

        """
        with confidentially():
            try:
                await self._serving.start()
            except BaseRuntimeError:
                raise
            except Exception as error:  # whatever the user's code raises
                text = "".join(traceback.format_exception(error)).rstrip()
                raise DeploymentError(f"its code failed:\n{text}") from None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] != "lifespan":
            self._requests += 1
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._serving.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Answer who asks by a handle, from inside the cluster, where no token is asked for; see `ask`."""
        self._requests += 1
        return await ask(self._serving, method, path, headers, body)

    def request_rate(self) -> float:
        """Return how many requests per second have come since this was asked last."""
        (before, since), now = self._counted, time.monotonic()
        self._counted = self._requests, now
        return (self._requests - before) / max(now - since, 1e-3)

    def check_health(self) -> None:
        """Raise if this replica should be replaced."""
        failed = self._serving.failure()
        if failed:
            with confidentially():
                raise DeploymentError(failed)


class InProcess:
    """An ASGI app in the replica itself."""

    def __init__(self, env: AppEnvironment, record: AppRecord, values: Values) -> None:
        """Prepare this process for it."""
        os.environ.update(values.variables)
        here = context.AppContext("remote", raw_data_path=record.raw_data_path)
        context.serve_alone(context.Given(record.name, here, values.parameters))
        self._app = Hooked(env.asgi, env, values.parameters)
        self._lifespan = Lifespan(self._app)

    async def start(self) -> None:
        """Begin its lifespan."""
        try:
            await self._lifespan.start()
        except DeploymentError as error:
            raise self._app.error or error from None
        # What is here by now stays: to go through it, as each full collection does, would halt requests for 0.1 s.
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """End its lifespan."""
        await self._lifespan.stop()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        await self._app({**scope, "state": dict(self._lifespan.state)}, receive, send)

    def failure(self) -> str:
        """An ASGI app lives as long as its process."""
        return ""


class InChild:
    """A process of its own that this replica has started, behind a proxy."""

    def __init__(self, env: AppEnvironment, record: AppRecord, values: Values) -> None:
        """Prepare it."""
        words, variables = list(env.app_spec.argv), {**values.variables, **context.as_variables(values.parameters)}
        self._file = None
        if record.kind == "server":
            about = {"reference": dict(record.reference), "name": record.name, "raw_data_path": record.raw_data_path}
            self._file = tempfile.NamedTemporaryFile("w", suffix=".json")  # noqa: SIM115  # as long as this lives
            self._file.write(json.dumps(about))
            self._file.flush()
            words = [sys.executable, "-m", "flyte_ray.apps.server_process", self._file.name]
            variables["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        # In the project's folder as it has travelled, so that a command names its files as where it was written.
        folder = find_top(record.reference) if record.kind == "command" else None
        self._supervisor = Supervisor(
            record.name,
            words,
            variables,
            start=partial(Command, folder=folder),
            port=env.app_spec.port.port if env.app_spec.names_port else None,
            **record.start,
        )
        self._proxy = Proxy(self._supervisor)

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        await self._supervisor.begin()

    async def stop(self) -> None:
        """End it."""
        await self._proxy.close()
        await self._supervisor.stop()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        await self._proxy(scope, receive, send)

    def failure(self) -> str:
        """Say that it does not come back."""
        return self._supervisor.hopeless


def _serving_of(env: AppEnvironment, record: AppRecord, values: Values) -> Serving:
    return InProcess(env, record, values) if record.kind == "asgi" else InChild(env, record, values)
