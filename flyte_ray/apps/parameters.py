"""Decide what an app's parameters are, when it is deployed, and have them there, when a replica starts.

Which run's output an app serves is decided once per deployment, so that all its replicas serve the same, and stands in
its record: its lineage. Files and folders are fetched by each replica.
"""

from __future__ import annotations

import fnmatch
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flyte_ray.apps.addresses import endpoint_of
from flyte_ray.apps.lineage import output_of
from flyte_ray.errors import DeploymentError, ParameterMaterializationError
from flyte_ray.spec.app import AppSpec
from flyte_ray.spec.parameter import AppEndpoint, Parameter, RunOutput
from flyte_ray.storage import Store

Resolved = Mapping[str, Mapping[str, Any]]
"""By parameter: its `kind` (`string`, `file`, `directory`, `app_endpoint`) and `value` (text; a URI; an app's name); of
an output of a run `run`, and in `source` the fields of its `RunOutput`."""

Send = Callable[[str], str]
"""Has a file or folder of this machine, by its absolute path, where the app can read it; returns its URI."""


@dataclass(frozen=True)
class Values:
    """What an app is given."""

    parameters: Mapping[str, str]
    """By name."""
    variables: Mapping[str, str]
    """For the environment of its process: those of the app, and of its parameters."""


def resolve(store: Store, app: AppSpec, given: Mapping[str, Any], send: Send) -> dict[str, dict[str, Any]]:
    """Decide what the parameters are.

    Args:
        store: The root, whose runs they may be of.
        app: Whose they are.
        given: Values by parameter that count in place of those declared.
        send: Has a file or folder of this machine where the app can read it, and returns its URI.

    Raises:
        ParameterMaterializationError: One has no value, or one that it cannot have, or what is given is no parameter.

    """
    names = [parameter.name for parameter in app.parameters]
    for name in given:
        if name not in names:
            raise ParameterMaterializationError(
                f"App '{app.name}' has no parameter {name!r}. It has: {', '.join(names) or 'none'}."
            )
    values = {item.name: given.get(item.name, item.value) for item in app.parameters}
    return {item.name: _resolve(store, app.name, item, values[item.name], send) for item in app.parameters}


def refresh(store: Store, app: str, resolved: Resolved) -> dict[str, dict[str, Any]]:
    """Decide anew which runs' outputs an app serves; all else stays."""
    return {
        name: _of_run(store, f"App '{app}', parameter '{name}'", RunOutput(**_read(about["source"])))
        if "source" in about
        else dict(about)
        for name, about in resolved.items()
    }


def materialize(app: AppSpec, resolved: Resolved, env_vars: Mapping[str, str]) -> Values:
    """Have all parameters where the app runs.

    Args:
        app: Whose they are.
        resolved: What `resolve` gave.
        env_vars: Variables that count in place of the environment's.

    Raises:
        ParameterMaterializationError: One cannot be obtained.

    """
    found = {item.name: _have(app.name, item, resolved[item.name]) for item in app.parameters}
    variables = {item.env_var: found[item.name] for item in app.parameters if item.env_var}
    return Values(found, {**(app.environment.env_vars or {}), **variables, **env_vars})


def _resolve(store: Store, app: str, parameter: Parameter, value: Any, send: Send) -> dict[str, Any]:
    owner = f"App '{app}', parameter '{parameter.name}'"
    if isinstance(value, str):
        kind = parameter.type or "string"
        return {"kind": kind, "value": _reachable(owner, value, send) if kind in ("file", "directory") else value}
    if isinstance(value, AppEndpoint):
        return {"kind": "app_endpoint", "value": value.app_name}
    if isinstance(value, RunOutput):
        return _of_run(store, owner, value)
    if value is None:
        raise ParameterMaterializationError(
            f"App '{app}': parameter '{parameter.name}' has no value. Declare one, or give it:"
            f" with_servecontext(parameter_values={{{app!r}: {{{parameter.name!r}: ...}}}})."
        )
    from flyte_ray.io import Dir, File  # they need pydantic, which takes a while to import

    if isinstance(value, (File, Dir)):
        kind = "file" if isinstance(value, File) else "directory"
        return {"kind": kind, "value": _reachable(owner, value.path, send)}
    raise ParameterMaterializationError(
        f"{owner} must be text, a File, a Dir, an AppEndpoint or a RunOutput, got {type(value).__name__}. Write it as"
        f" text."
    )


def _of_run(store: Store, owner: str, source: RunOutput) -> dict[str, Any]:
    run, value = output_of(store, owner, source)
    fields = {"type": source.type, "run_name": source.run_name, "task_name": source.task_name}
    return {"kind": source.type, "value": value, "run": run, "source": {**fields, "getter": list(source.getter)}}


def _read(source: Mapping[str, Any]) -> dict[str, Any]:
    return {**source, "getter": tuple(source["getter"])}


def _reachable(owner: str, path: str, send: Send) -> str:
    """Return the URI of a file or folder of the deployer's, which every replica must be able to read."""
    if "://" in path:
        return path
    absolute = os.path.abspath(os.path.expanduser(path))
    if not os.path.exists(absolute):
        raise ParameterMaterializationError(f"{owner} must be there, got {path!r}, which is not. Correct the path.")
    return send(absolute)


def _have(app: str, parameter: Parameter, about: Mapping[str, Any]) -> str:
    owner = f"App '{app}', parameter '{parameter.name}'"
    kind, value = about["kind"], str(about["value"])
    try:
        if kind == "app_endpoint":
            return endpoint_of(value)
        if kind in ("file", "directory") and parameter.download:
            return _fetch(kind, value, parameter)
    except (DeploymentError, FileNotFoundError) as error:
        raise ParameterMaterializationError(f"{owner}: {error}") from error
    return value


def _fetch(kind: str, uri: str, parameter: Parameter) -> str:
    from flyte_ray.io import Dir, File  # see _resolve

    if kind == "file":
        file: Any = File(path=uri, name=uri.rpartition("/")[2])
        return str(file.download_sync(parameter.mount))
    folder: Any = Dir(path=uri)
    if not parameter.ignore_patterns:
        return str(folder.download_sync(parameter.mount))
    target = parameter.mount or tempfile.mkdtemp(prefix="flyte-ray-")
    for each in folder.walk_sync():
        below = each.path.removeprefix(uri).lstrip("/")
        if not any(fnmatch.fnmatch(below, pattern) for pattern in parameter.ignore_patterns):
            each.download_sync(os.path.join(target, below))
    return target
