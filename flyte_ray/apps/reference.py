"""Name an app's environment for another process, and find it there: by its module and its name in it.

Not by value: to load a pickle is to execute what it says, and a replica may be started years later.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.cluster.bundle import find_base
from flyte_ray.errors import CodeBundleError, DeploymentError
from flyte_ray.spec.task import EnvironmentSpec

_SCRIPT = "__main__"
_loading: list[str] = []
"""The app whose module is imported at this moment."""


@dataclass(frozen=True)
class AppSource:
    """Where an app stands in the user's code; what packs code asks for it."""

    environment: EnvironmentSpec
    source_file: str
    module: str


def source_of(env: AppEnvironment) -> AppSource:
    """Find the module that declares an app."""
    file = env.spec.declaring_file or ""
    named = (name for name, module in list(sys.modules.items()) if getattr(module, "__file__", None) == file)
    return AppSource(env.spec, file, next(named, _SCRIPT))


def refer(env: AppEnvironment, source: AppSource) -> dict[str, str]:
    """Return what `load` finds the app by.

    Raises:
        CodeBundleError: It is no variable of a file at its top level.

    """
    held = vars(sys.modules[source.module])
    name = next((name for name, value in list(held.items()) if value is env), None)
    if name is None or not os.path.isfile(source.source_file):
        raise CodeBundleError(
            f"App '{env.name}' should be a variable at the top level of a file, from which its replicas import it, but"
            f" was not found as one. Put it into a file, a notebook's cell by %%writefile, and serve that: flyte-ray"
            f" serve FILE {env.name}. As it is, flyte.with_servecontext(mode='local') serves it, in this process."
        )
    if source.module != _SCRIPT:
        return {"module": source.module, "name": name}
    # A script is imported by the name of its file.
    file = Path(source.source_file).resolve()
    return {"module": ".".join(file.relative_to(find_base(file)).with_suffix("").parts), "name": name}


def load(reference: Mapping[str, str], name: str) -> AppEnvironment:
    """Find an app by what `refer` gave.

    Raises:
        CodeBundleError: The module holds no such app.

    """
    _loading.append(name)
    try:
        found: Any = getattr(importlib.import_module(reference["module"]), reference["name"], None)
    finally:
        _loading.remove(name)
    if not isinstance(found, AppEnvironment):
        raise CodeBundleError(
            f"Module '{reference['module']}' should hold the app '{name}' as '{reference['name']}', got"
            f" {type(found).__name__}. Keep it under its name, whatever the module is imported by."
        )
    return found


def find_top(reference: Mapping[str, str]) -> str:
    """Return the folder from which the module of an app was imported: the top of its project, as far as it is here."""
    module = sys.modules[reference["module"]]
    assert module.__file__ is not None, "it was loaded from a file"
    return str(Path(module.__file__).parents[reference["module"].count(".")])


def refuse_while_loading() -> None:
    """Refuse to serve while a replica imports the file of an app.

    Raises:
        DeploymentError: It does.

    """
    if _loading:
        raise DeploymentError(
            f"A replica of app '{_loading[-1]}' imports its file, which calls flyte.serve. Put that call below"
            f" if __name__ == '__main__':."
        )
