"""Tell the code of an app what it was given: `flyte.app.ctx()`, `flyte.app.get_parameter`.

In one process several apps may run side by side, each on threads of its own: what one is given stands in a context
variable. A process that serves one app alone says so once, for all its threads.
"""

from __future__ import annotations

import contextvars
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from flyte_ray.errors import ParameterMaterializationError

PARAMETERS_VAR: Final = "FLYTE_RAY_APP_PARAMETERS"
"""Variable in which a command finds its parameters, as JSON."""


@dataclass(frozen=True)
class AppContext:
    """Where the code of an app runs. Mirrors `flyte.app`'s `AppContext`."""

    mode: Literal["local", "remote"]
    project: str | None = None
    """None, like `domain`: there is no control plane that divides apps so."""
    domain: str | None = None
    raw_data_path: str | None = None


@dataclass(frozen=True)
class Given:
    """What one app was given."""

    app: str
    context: AppContext
    parameters: Mapping[str, str]


given: contextvars.ContextVar[Given | None] = contextvars.ContextVar("flyte_ray_app", default=None)
_alone: list[Given] = []


def serve_alone(what: Given) -> None:
    """Say that this process serves one app and nothing else."""
    _alone[:] = [what]


def _find() -> Given | None:
    return given.get() or (_alone[0] if _alone else None)


def ctx() -> AppContext:
    """Return where this code runs; outside an app it is local."""
    found = _find()
    return found.context if found else AppContext("local")


def get_parameter(name: str) -> str:
    """Return the value of a parameter of the app that this code belongs to; of a file or folder its path.

    Raises:
        ParameterMaterializationError: The app has no such parameter, or this code belongs to none.

    """
    found = _find()
    known: Mapping[str, Any] = found.parameters if found else json.loads(os.environ.get(PARAMETERS_VAR, "{}"))
    if name not in known:
        has = f"It has: {', '.join(known)}" if known else "It has none"
        raise ParameterMaterializationError(
            f"get_parameter expects the name of a parameter of this app, got {name!r}. {has}. Declare it in the"
            f" AppEnvironment's parameters."
        )
    return str(known[name])


def as_variables(parameters: Mapping[str, str]) -> dict[str, str]:
    """Hand parameters on to a process of the app's."""
    return {PARAMETERS_VAR: json.dumps(dict(parameters))} if parameters else {}
