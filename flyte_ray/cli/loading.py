"""Import the user's file and find its tasks."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

import click

from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.task import TaskTemplate
from flyte_ray.spec.task import EnvironmentSpec


class WrongFile(click.ClickException):
    """The user's file is no use to us; unlike a usage error, this shows no syntax of ours."""

    exit_code = 2


def load_tasks(file: str) -> dict[str, TaskTemplate]:
    """Import a file and return its tasks by function name; a failing import shows the user's traceback, exit 2."""
    path = Path(file).resolve()
    sys.path.insert(0, str(path.parent))
    made = importlib.util.spec_from_file_location(path.stem, path)
    if made is None or made.loader is None:
        raise WrongFile(f"Expected a Python file, got {file}. Give the file that declares the tasks.")
    module = importlib.util.module_from_spec(made)
    sys.modules[path.stem] = module
    try:
        made.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise WrongFile(f"{file} does not import:\n{_users_traceback(error, path)}") from error
    found = {value.spec.func.__name__: value for value in vars(module).values() if isinstance(value, TaskTemplate)}
    return {name: task for name, task in found.items() if task.spec.func.__module__ == module.__name__} or found


def _users_traceback(error: BaseException, path: Path) -> str:
    """Format an error from the first frame of the user's file on, without the frames of the import and our own."""
    frames = list(traceback.extract_tb(error.__traceback__))
    first = next((number for number, frame in enumerate(frames) if frame.filename == str(path)), len(frames))
    # "<string>" is the constructor of a dataclass of ours.
    ours = (str(Path(__file__).parent.parent), "<frozen importlib", "<string>")
    kept = [frame for frame in frames[first:] if not frame.filename.startswith(ours)]
    return "".join(traceback.format_list(kept) + traceback.format_exception_only(error))


def pick_task(file: str, name: str) -> TaskTemplate:
    """Return one task of a file; an unknown name lists those there are, exit 2."""
    tasks = load_tasks(file)
    if name not in tasks:
        raise WrongFile(f"Expected a task of {file}, got {name!r}. It has: {', '.join(tasks) or 'none'}.")
    return tasks[name]


def find_environments(task: TaskTemplate) -> list[EnvironmentSpec]:
    """Return the environments that a task's imported file holds, with those that they depend on; the task's is first.

    Each has a name once: tasks of one name are one environment.
    """
    module = sys.modules.get(task.spec.func.__module__)
    waiting = [value for value in vars(module).values() if isinstance(value, TaskEnvironment)] if module else []
    found = {task.spec.environment.name: task.spec.environment}
    while waiting:
        environment = waiting.pop(0)
        if environment.spec.name not in found:
            found[environment.spec.name] = environment.spec
        seen = {other.spec.name for other in waiting} | found.keys()
        waiting += [other for other in environment.depends_on if other.spec.name not in seen]
    return list(found.values())
