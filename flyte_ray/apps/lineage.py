"""Find the output of a run that an app is to serve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.api.run import Run
from flyte_ray.errors import BaseRuntimeError, ParameterMaterializationError
from flyte_ray.ledger.overview import describe_runs
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.parameter import RunOutput
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store

_SUCCEEDED: Final = (ActionPhase.SUCCEEDED.value, ActionPhase.RECOVERED.value)


def output_of(store: Store, owner: str, source: RunOutput) -> tuple[str, str]:
    """Return the name of the run and what it gave: text, or the URI of a file or folder.

    Args:
        store: The root that holds the run.
        owner: Whose parameter it is, for messages.
        source: Which output of which run.

    Raises:
        ParameterMaterializationError: There is no such run, it did not succeed, or it has no such output.

    """
    if source.task_version is not None or source.task_auto_version == "current":
        raise ParameterMaterializationError(
            f"{owner}: runs are found by their task's name so far, got a version of it. Leave task_version out, or"
            f" write task_auto_version='latest'."
        )
    name = source.run_name or _latest(store, owner, str(source.task_name))
    run = Run(store, name)
    try:
        load_spec(store, RunId(name))
        state = load_state(store, RunId(name))
        if not state.phase.has_succeeded:
            raise ParameterMaterializationError(
                f"{owner}: run {name} should have succeeded, but is {state.phase.value}. Name another run, or a task."
            )
        value: Any = run.outputs()
    except ParameterMaterializationError:
        raise
    except BaseRuntimeError as error:
        raise ParameterMaterializationError(f"{owner}: {error}") from error
    for step in source.getter:
        value = _step(owner, name, value, step)
    if source.type in ("file", "directory"):
        if not (isinstance(value, Mapping) and isinstance(value.get("path"), str)):
            raise ParameterMaterializationError(
                f"{owner}: output {source.getter!r} of run {name} should be a {source.type}, got {value!r:.80}. Name"
                f" another output, or another type."
            )
        path: str = value["path"]
        return name, run.blobs().absolute(path.removeprefix("run:")) if path.startswith("run:") else path
    return name, value if isinstance(value, str) else json.dumps(value, default=str)


def _latest(store: Store, owner: str, task: str) -> str:
    for run in describe_runs(store, 1, phases=_SUCCEEDED, task=task):
        return str(run["name"])
    raise ParameterMaterializationError(
        f"{owner}: a run of task '{task}' should have succeeded, but {store.uri} holds none. Run it first, or correct"
        f" the name ('flyte-ray get run' lists runs)."
    )


def _step(owner: str, run: str, value: Any, step: Any) -> Any:
    try:
        return value[step]
    except (KeyError, IndexError, TypeError) as error:
        raise ParameterMaterializationError(
            f"{owner}: the output of run {run} should have {step!r} there, got {value!r:.80}. Correct the getter."
        ) from error
