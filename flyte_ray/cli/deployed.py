"""Find deployed tasks for the verbs that start runs: `submit deployed-task ENV.TASK[:VERSION]`."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from flyte_ray.api.deployed import TaskDetails
from flyte_ray.api.settings import current_store
from flyte_ray.ledger.tasks import list_deployed, load_deployed

DEPLOYED: Final = "deployed-task"
"""Stands in the place of a file."""
SCRIPT: Final = "python-script"
"""Stands there for a script that declares no tasks."""


class FileOrDeployed(click.Path):
    """A file, or the word for what was deployed; a file of that name is given as ./deployed-task."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check that a file is there."""
        return value if value in (DEPLOYED, SCRIPT) else super().convert(value, param, ctx)


def find_deployed(words: str) -> TaskDetails:
    """Return the task that ENV.TASK[:VERSION] names.

    Raises:
        RemoteTaskNotFoundError: The root holds none of this name, or not in this version.

    """
    name, colon, version = words.partition(":")
    return TaskDetails(load_deployed(current_store(), name, version if colon else None))


def deployed_tasks() -> dict[str, TaskDetails]:
    """Return the deployed tasks of the root in their latest versions, by name."""
    return {record.name: TaskDetails(record) for record in list_deployed(current_store())}


def show_deployed(task: TaskDetails, output: str) -> None:
    """Print what a run of a deployed task would ask of Ray."""
    assert task.spec.ref is not None
    options, code = json.loads(task.spec.ref.options), task.spec.code
    if output == "json":
        click.echo(json.dumps({"task": task.name, "version": task.version, "options": options, "code": code}, indent=2))
        return
    click.echo(f"Task {task.name}, version {task.version}: {json.dumps(options, indent=2)}")
    click.echo(f"Code bundle: {(code or 'none').partition(':')[0]}")
