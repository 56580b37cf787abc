"""Import the user's file and find its tasks."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import click

from flyte_ray.api.task import TaskTemplate


class WrongFile(click.ClickException):
    """The user's file is no use to us; unlike a usage error, this shows no syntax of ours."""

    exit_code = 2


def load_tasks(file: str, root_dir: str | None = None) -> dict[str, TaskTemplate]:
    """Import a file and return its tasks by function name; a failing import shows the user's traceback, exit 2.

    Args:
        file: A Python file.
        root_dir: The project's folder: the file is imported by its name from there, so that its relative imports work.
            None imports it by its own name alone.

    """
    path = Path(file).resolve()
    top = Path(root_dir).resolve() if root_dir is not None else path.parent
    if not path.is_relative_to(top):
        raise click.UsageError(f"FILE must lie below --root-dir {top}, got {path}.")
    sys.path.insert(0, str(top))
    name = ".".join(path.relative_to(top).with_suffix("").parts)
    try:
        module = _import(name, path) if root_dir is None else importlib.import_module(name)
    except click.ClickException:
        raise
    except (Exception, SystemExit) as error:
        raise WrongFile(f"{file} does not import:\n{_users_traceback(error, path)}") from error
    found = {value.spec.func.__name__: value for value in vars(module).values() if isinstance(value, TaskTemplate)}
    return {name: task for name, task in found.items() if task.spec.func.__module__ == module.__name__} or found


def _import(name: str, path: Path) -> ModuleType:
    """Import a file that may have the name of another module."""
    made = importlib.util.spec_from_file_location(name, path)
    if made is None or made.loader is None:
        raise WrongFile(f"Expected a Python file, got {path}. Give the file that declares the tasks.")
    module = importlib.util.module_from_spec(made)
    sys.modules[name] = module
    made.loader.exec_module(module)
    return module


def _users_traceback(error: BaseException, path: Path) -> str:
    """Format an error from the first frame of the user's file on, without the frames of the import and our own."""
    frames = list(traceback.extract_tb(error.__traceback__))
    first = next((number for number, frame in enumerate(frames) if frame.filename == str(path)), len(frames))
    # "<string>" is the constructor of a dataclass of ours.
    ours = (str(Path(__file__).parent.parent), "<frozen importlib", "<string>")
    kept = [frame for frame in frames[first:] if not frame.filename.startswith(ours)]
    return "".join(traceback.format_list(kept) + traceback.format_exception_only(error))


def pick_task(file: str, name: str, root_dir: str | None = None) -> TaskTemplate:
    """Return one task of a file; an unknown name lists those there are, exit 2."""
    tasks = load_tasks(file, root_dir)
    if name not in tasks:
        raise WrongFile(f"Expected a task of {file}, got {name!r}. It has: {', '.join(tasks) or 'none'}.")
    return tasks[name]
