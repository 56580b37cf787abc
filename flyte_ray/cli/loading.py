"""Import the user's file and find its tasks."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

import click

from flyte_ray.api.environment import TaskTemplate


def load_tasks(file: str) -> dict[str, TaskTemplate]:
    """Import a file and return its tasks by function name; a failing import shows the user's traceback, exit 2."""
    path = Path(file).resolve()
    sys.path.insert(0, str(path.parent))
    made = importlib.util.spec_from_file_location(path.stem, path)
    if made is None or made.loader is None:
        raise click.UsageError(f"Expected a Python file, got {file}.")
    module = importlib.util.module_from_spec(made)
    sys.modules[path.stem] = module
    try:
        made.loader.exec_module(module)
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        text = "".join(traceback.format_list(frames) + traceback.format_exception_only(error))
        raise click.UsageError(f"{file} does not import:\n{text}") from error
    found = {value.spec.func.__name__: value for value in vars(module).values() if isinstance(value, TaskTemplate)}
    return {name: task for name, task in found.items() if task.spec.func.__module__ == module.__name__} or found


def pick_task(file: str, name: str) -> TaskTemplate:
    """Return one task of a file; an unknown name lists those there are, exit 2."""
    tasks = load_tasks(file)
    if name not in tasks:
        raise click.UsageError(f"{file} has no task {name!r}. It has: {', '.join(tasks) or 'none'}.")
    return tasks[name]
