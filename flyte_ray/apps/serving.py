"""Serve apps: `flyte.serve`, `flyte.with_servecontext`."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from flyte_ray.api.both import both_forms
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.unsupported import ignore_foreign, refuse_unsupported
from flyte_ray.apps.context import AppContext
from flyte_ray.apps.deploying import deploy
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.apps.handle import AppHandle
from flyte_ray.apps.local import LocalApp, Patience
from flyte_ray.apps.own_secrets import own_variables
from flyte_ray.apps.parameters import materialize, resolve
from flyte_ray.apps.reference import refuse_while_loading
from flyte_ray.apps.served import App
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.session import has_cluster
from flyte_ray.errors import InvalidDeclaration, UnsupportedError

_log: Final = logging.getLogger("flyte_ray")
ServeMode = Literal["local", "remote"]
_REFUSED: Final = ("dry_run", "copy_bundle_to")
_IGNORED: Final = (
    *("version", "project", "domain", "cluster_pool", "cluster", "log_level", "log_format", "user_log_level"),
    "interactive_mode",
)


@dataclass(frozen=True)
class Server:
    """Serves apps with settings of their own: what `with_servecontext` returns."""

    mode: ServeMode | None = None
    env_vars: dict[str, str] = field(default_factory=dict)
    parameter_values: dict[str, dict[str, Any]] = field(default_factory=dict)
    copy_style: CopyStyle = "loaded_modules"
    raw_data_path: str | None = None
    patience: Patience = field(default_factory=Patience)
    lasting: bool = True
    """The cluster outlives this process; False for a Ray that this process started."""

    @both_forms
    def serve(self, app_env: AppEnvironment) -> AppHandle:
        """Serve an app; see `flyte.serve`."""
        refuse_while_loading()
        if not isinstance(app_env, AppEnvironment):
            raise TypeError(f"flyte.serve expects a flyte.app.AppEnvironment, got {app_env!r:.80}. Declare one.")
        check_served(app_env)
        parameters = self.parameter_values.get(app_env.name, {})
        remote = self.mode == "remote" or (self.mode is None and has_cluster(settings.address))
        if remote:
            record, url = deploy(
                app_env,
                parameters=parameters,
                env_vars=self.env_vars,
                copy_style=self.copy_style,
                raw_data_path=self.raw_data_path,
                patience=self.patience,
                lasting=self.lasting,
            )
            return App(current_store(), record, url)
        resolved = resolve(current_store(), app_env.app_spec, parameters, lambda path: path)
        variables = {**own_variables(app_env, current_store()), **self.env_vars}
        values = materialize(app_env.app_spec, resolved, variables)
        app = LocalApp(app_env, values, self.patience, AppContext("local", raw_data_path=self.raw_data_path))
        app.activate(wait=True)
        return app


def check_served(env: AppEnvironment) -> None:
    """Refuse what has nothing to serve.

    Raises:
        InvalidDeclaration: The app has no process.

    """
    if env.kind is None:
        raise InvalidDeclaration(
            f"App '{env.name}' should have a process, got none. Give it a command, decorate a function with"
            f" @env.server, or make it a FastAPIAppEnvironment."
        )


def with_servecontext(
    mode: ServeMode | None = None,
    *,
    copy_style: CopyStyle = "loaded_modules",
    env_vars: dict[str, str] | None = None,
    parameter_values: dict[str, dict[str, Any]] | None = None,
    deactivate_timeout: float | None = None,
    activate_timeout: float | None = None,
    health_check_timeout: float | None = None,
    health_check_interval: float | None = None,
    health_check_path: str | None = None,
    raw_data_path: str | None = None,
    **foreign: Any,
) -> Server:
    """Return what serves apps with these settings: `with_servecontext(...).serve(env)`.

    Args:
        mode: `local` for this process; None for a cluster if there is one.
        copy_style: Which files of the project travel: `loaded_modules`, `all` or `none`.
        env_vars: Variables of the app's process; they win over those of the environment.
        parameter_values: Values of parameters, by app and parameter; they win over those declared.
        deactivate_timeout: Seconds that a local app may take to end; default 6.
        activate_timeout: Seconds that a local app may take until it answers; default 60.
        health_check_timeout: Seconds for one answer; default 2.
        health_check_interval: Longest pause between two questions, in seconds; default 1.
        health_check_path: What is asked for; default `/health`. Every answer
            but 502, 503 and 504 says that the app is ready.
        raw_data_path: What `flyte.app.ctx().raw_data_path` says.
        foreign: Other settings of Flyte's: those of its control plane are without effect, said once.

    Raises:
        UnsupportedError: A mode that does not exist, or a setting that we cannot honour.
        TypeError: An unknown setting.

    Source: `flyte.with_servecontext`.

    """
    refuse_unsupported("An app", {key: foreign.pop(key) for key in _REFUSED if key in foreign})
    ignore_foreign("flyte.with_servecontext", foreign, _IGNORED)
    if mode not in (None, "local", "remote"):
        raise UnsupportedError(f"mode must be 'local' or 'remote', got {mode!r}. Leave it out.")
    path = health_check_path if health_check_path is not None else Patience.path
    if not path.startswith("/"):
        raise InvalidDeclaration(f"health_check_path must begin with '/', got {path!r}. Write '/health'.")
    given = {
        "activate_s": activate_timeout,
        "deactivate_s": deactivate_timeout,
        "check_s": health_check_timeout,
        "interval_s": health_check_interval,
    }
    times: dict[str, Any] = {name: float(value) for name, value in given.items() if value is not None}
    patience = dataclasses.replace(Patience(path=path), **times)
    return Server(mode, dict(env_vars or {}), dict(parameter_values or {}), copy_style, raw_data_path, patience)


@both_forms
def serve(app_env: AppEnvironment) -> AppHandle:
    """Serve an app, and return when it answers.

    Args:
        app_env: The app.

    Returns:
        What switches it off and on, and says its URL.

    Raises:
        TypeError: It is no `AppEnvironment`.
        InvalidDeclaration: It has no process.
        DeploymentError: The port is taken, its code or command failed, or it does not answer in time.
        ParameterMaterializationError: A parameter has no value.

    Source: `flyte.serve`.

    """
    handle: AppHandle = Server().serve(app_env)
    return handle
