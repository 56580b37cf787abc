"""Import the user's file and find its tasks and apps."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import click

from flyte_ray.api.declared import Environment
from flyte_ray.api.task import TaskTemplate
from flyte_ray.cluster.bundle import find_base
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.spec.origin import is_own

if TYPE_CHECKING:
    from flyte_ray.apps.environment import AppEnvironment

_IMPORTLIB: Final = os.path.dirname(importlib.__file__)


class WrongFile(click.ClickException):
    """The user's file is no use to us; unlike a usage error, this shows no syntax of ours."""

    exit_code = 2


def load_tasks(file: str, root_dir: str | None = None) -> dict[str, TaskTemplate]:
    """Import a file, see `import_file`, and return its tasks by name.

    The name is that of the variable, or of the function where both are there.
    """
    return _tasks_of(import_file(file, root_dir))


def load_apps(file: str, root_dir: str | None = None) -> dict[str, AppEnvironment]:
    """Import a file, see `import_file`, and return its apps by name."""
    from flyte_ray.apps.environment import AppEnvironment  # who submits a task does without it

    held = vars(import_file(file, root_dir)).values()
    return {value.name: value for value in held if isinstance(value, AppEnvironment)}


def pick_app(file: str, name: str | None, root_dir: str | None = None) -> AppEnvironment:
    """Return an app of a file by its name; without one its only app. Otherwise it lists them, exit 2."""
    apps = load_apps(file, root_dir)
    if name is None and len(apps) == 1:
        return next(iter(apps.values()))
    if name not in apps:
        given = "none" if name is None else repr(name)
        near = did_you_mean(name, apps)
        raise WrongFile(
            f"Expected the name of an app of {file}, got {given}. It has: {', '.join(apps) or 'none'}. {near}".rstrip()
        )
    return apps[name]


def pick_environments(file: str, name: str | None, root_dir: str | None = None) -> list[Environment]:
    """Return an environment of a file by its name; without one all that the file declares. Unknown ones: exit 2."""
    module = import_file(file, root_dir)
    held = {value.name: value for value in vars(module).values() if isinstance(value, Environment)}
    if name is None:
        own = [env for env in held.values() if env.spec.declaring_file == module.__file__]
        if not held:
            raise WrongFile(f"{file} has no environments. Declare one: env = flyte.TaskEnvironment('name').")
        return own or [*held.values()]
    if name not in held:
        raise WrongFile(f"Expected an environment of {file}, got {name!r}. It has: {', '.join(held) or 'none'}.")
    return [held[name]]


def import_file(file: str, root_dir: str | None = None) -> ModuleType:
    """Import the user's file.

    A failing import shows the user's traceback, exit 2.

    Args:
        file: A Python file.
        root_dir: The project's folder: the file is imported by its name from there, so that its relative imports work.
            None imports it from where its package lies, a file of no package by its own name alone.

    """
    path = Path(file).resolve()
    top = Path(root_dir).resolve() if root_dir is not None else find_base(path)
    if not path.is_relative_to(top):
        raise click.UsageError(f"FILE must lie below --root-dir {top}, got {path}.")
    sys.path.insert(0, str(top))
    sys.path.append(str(path.parent))  # for imports as in a script; last, for a package may have names of Python's
    name = ".".join(path.relative_to(top).with_suffix("").parts)
    try:
        is_alone = root_dir is None and top == path.parent
        module = _import(name, path) if is_alone else importlib.import_module(name)
    except click.ClickException:
        raise
    except (Exception, SystemExit) as error:
        raise WrongFile(f"{file} does not import:\n{_users_traceback(error)}") from error
    return module


def _tasks_of(module: ModuleType) -> dict[str, TaskTemplate]:
    names: dict[int, list[str]] = {}
    for name, value in vars(module).items():
        if isinstance(value, TaskTemplate):
            names.setdefault(id(value), []).append(name)
    found = {}
    for aliases in names.values():
        task: TaskTemplate = getattr(module, aliases[0])
        own = task.spec.func.__name__
        found[own if own in aliases else aliases[0]] = task
    declared = {name: task for name, task in found.items() if task.spec.func.__module__ == module.__name__}
    return declared or found


def _import(name: str, path: Path) -> ModuleType:
    """Import a file that may have the name of another module."""
    made = importlib.util.spec_from_file_location(name, path)
    if made is None or made.loader is None:
        raise WrongFile(f"Expected a Python file, got {path}. Give the file that declares the tasks.")
    module = importlib.util.module_from_spec(made)
    sys.modules[name] = module
    made.loader.exec_module(module)
    return module


def _users_traceback(error: BaseException) -> str:
    """Format an error with the frames below our import, without those of Python's import and our own."""
    frames = traceback.extract_tb(error.__traceback__)
    kept = [
        frame
        for frame in frames
        # "<string>" is the constructor of a dataclass of ours.
        if not (is_own(frame.filename) or frame.filename.startswith(("<frozen importlib", "<string>", _IMPORTLIB)))
    ]
    return "".join(traceback.format_list(kept) + traceback.format_exception_only(error))


def pick_task(file: str, name: str, root_dir: str | None = None) -> TaskTemplate:
    """Return one task of a file, by the name of its variable or its function; an unknown one lists them, exit 2."""
    tasks = load_tasks(file, root_dir)
    by_function = {task.spec.func.__name__: task for task in tasks.values()}
    if name not in tasks and name not in by_function:
        near = did_you_mean(name, tasks)
        raise WrongFile(
            f"Expected a task of {file}, got {name!r}. It has: {', '.join(tasks) or 'none'}. {near}".rstrip()
        )
    return tasks[name] if name in tasks else by_function[name]
