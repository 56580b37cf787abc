"""Import the user's file and find its tasks."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import click

from flyte_ray.api.environment import TaskTemplate


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
    except click.UsageError:
        raise
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        text = "".join(traceback.format_list(frames) + traceback.format_exception_only(error))
        raise click.UsageError(f"{file} does not import:\n{text}") from error
    found = {value.spec.func.__name__: value for value in vars(module).values() if isinstance(value, TaskTemplate)}
    return {name: task for name, task in found.items() if task.spec.func.__module__ == module.__name__} or found


def _import(name: str, path: Path) -> ModuleType:
    """Import a file that may have the name of another module."""
    made = importlib.util.spec_from_file_location(name, path)
    if made is None or made.loader is None:
        raise click.UsageError(f"Expected a Python file, got {path}.")
    module = importlib.util.module_from_spec(made)
    sys.modules[name] = module
    made.loader.exec_module(module)
    return module


def pick_task(file: str, name: str, root_dir: str | None = None) -> TaskTemplate:
    """Return one task of a file; an unknown name lists those there are, exit 2."""
    tasks = load_tasks(file, root_dir)
    if name not in tasks:
        raise click.UsageError(f"{file} has no task {name!r}. It has: {', '.join(tasks) or 'none'}.")
    return tasks[name]
