"""The command `flyte-ray`: submit, resume, get.

Exit codes: 0 done, 1 the run failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from flyte_ray.api.environment import TaskTemplate
from flyte_ray.api.running import Run, current_store, init, resume_run, with_runcontext
from flyte_ray.cli.parameters import parse_parameters
from flyte_ray.errors import BaseRuntimeError, DeclarationError
from flyte_ray.ledger.query import list_runs, load_spec, load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase


class Verbs(click.Group):
    """A group whose commands show our errors as one sentence, exit 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (BaseRuntimeError, DeclarationError) as error:
            raise click.UsageError(str(error)) from error


@click.group(cls=Verbs)
@click.version_option(package_name="flyte-ray")
def main() -> None:
    """Durable data and ML work on Ray."""


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
    return {value.spec.func.__name__: value for value in vars(module).values() if isinstance(value, TaskTemplate)}


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--local", is_flag=True, help="Run in this process, without Ray (the only mode so far).")
@click.option("--root", help="Where the record lies: a path or s3://… (default FLYTE_RAY_ROOT, else ~/.flyte-ray).")
@click.option("--name", help="The run's name (default: made up).")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("task", required=False)
@click.argument("parameters", nargs=-1, type=click.UNPROCESSED)
def submit(
    local: bool, root: str | None, name: str | None, file: str, task: str | None, parameters: tuple[str, ...]
) -> None:
    """Run TASK of FILE with its PARAMETERS (`--x 3`); without TASK, list the file's tasks."""
    init(root)
    tasks = load_tasks(file)
    if task is None:
        click.echo("\n".join(f"{key}: {template.name}" for key, template in tasks.items()))
        return
    if task not in tasks:
        raise click.UsageError(f"{file} has no task {task!r}. It has: {', '.join(tasks) or 'none'}.")
    if not local:
        raise click.UsageError("Running on Ray is not built yet. Add --local to run in this process.")
    template = tasks[task]
    values = parse_parameters(template.spec.interface, task, parameters)
    _show(lambda: with_runcontext("local", name=name).run(template, **values))


@main.command()
@click.option("--root", help="Where the record lies.")
@click.argument("run")
def resume(root: str | None, run: str) -> None:
    """Continue RUN where it was cut off: what ended is not computed again."""
    init(root)
    _show(lambda: _resume(run))


def _resume(run: str) -> Run:
    store = current_store()
    spec = load_spec(store, RunId(run))
    template = next((item for item in load_tasks(spec["source"]).values() if item.name == spec["task"]), None)
    if template is None:
        raise click.UsageError(f"{spec['source']} should hold the run's task {spec['task']}, but does not.")
    return resume_run(store, run, template)


def _show(start: Callable[[], Run]) -> None:
    try:
        handle = start()
    except KeyboardInterrupt:
        click.echo("Interrupted: the run was aborted.", err=True)
        sys.stderr.flush()
        # An abandoned thread may sleep for an hour, and a normal exit would wait for it; the record is stored.
        os._exit(130)
    except TypeError as error:
        raise click.UsageError(str(error)) from error
    root = load_state(current_store(), RunId(handle.name)).root
    click.echo(f"Run {handle.name}: {root.phase.value}  {handle.url}")
    if root.phase is not ActionPhase.SUCCEEDED:
        click.echo(json.loads(root.result or "{}").get("traceback", ""), err=True)
        sys.exit(1)
    for number, value in enumerate(handle.outputs()):
        click.echo(f"o{number} = {value!r}")


@main.group()
def get() -> None:
    """Show what a root holds."""


@get.command("run")
@click.option("--root", help="Where the record lies.")
@click.option("--limit", default=100, show_default=True, help="How many runs at most.")
@click.argument("name", required=False)
def get_run(root: str | None, limit: int, name: str | None) -> None:
    """List runs, newest first, or show one with its actions by phase."""
    init(root)
    store = current_store()
    for spec in [load_spec(store, RunId(name))] if name else list_runs(store, limit):
        state = load_state(store, RunId(spec["name"]))
        counts = ", ".join(f"{count} {phase.value}" for phase, count in state.counts.items() if count)
        click.echo(f"{spec['name']}  {state.phase.value}  {spec['task']}  {counts}")


@get.command("action")
@click.option("--root", help="Where the record lies.")
@click.argument("run")
@click.argument("action", required=False)
def get_action(root: str | None, run: str, action: str | None) -> None:
    """List the actions of RUN: id, phase, task, seconds that its last attempt ran, error."""
    init(root)
    load_spec(current_store(), RunId(run))
    state = load_state(current_store(), RunId(run))
    if action is not None and action not in state.actions:
        raise click.UsageError(
            f"Run {run!r} has no action {action!r}. 'flyte-ray get action {run}' lists those it has."
        )
    for item in [state.actions[action]] if action else state.actions.values():
        seconds = (item.ended_us - item.started_us) / 1e6 if item.phase.is_terminal else 0.0
        failed = item.phase.is_terminal and item.phase is not ActionPhase.SUCCEEDED
        why = json.loads(item.result or "{}").get("message", "") if failed else ""
        click.echo(f"{item.id:24}  {item.phase.value:9}  {item.task_name}  {seconds:.3f} s  {why}".rstrip())


@get.command("io")
@click.option("--root", help="Where the record lies.")
@click.argument("run")
@click.argument("action", default="a0")
def get_io(root: str | None, run: str, action: str) -> None:
    """Print inputs and output of an action of RUN (default a0) as JSON."""
    init(root)
    load_spec(current_store(), RunId(run))
    item = load_state(current_store(), RunId(run)).actions.get(action)
    if item is None:
        raise click.UsageError(
            f"Run {run!r} has no action {action!r}. 'flyte-ray get action {run}' lists those it has."
        )
    click.echo(f'{{"inputs": {item.inputs}, "result": {item.result or "null"}}}')


if __name__ == "__main__":
    main()
