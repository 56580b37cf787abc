"""The verbs that continue and end runs: resume, abort."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from flyte_ray.api.run import Run
from flyte_ray.api.running import Mode, resume_run
from flyte_ray.api.settings import current_store
from flyte_ray.api.task import TaskTemplate
from flyte_ray.cli.following import SUCCEEDED, follow, report, start_ray
from flyte_ray.cli.loading import load_tasks
from flyte_ray.cli.options import common, prepare
from flyte_ray.cluster.session import has_cluster
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.spec.ids import ROOT_ACTION, RunId


@click.command(short_help="Continue a run where it was cut off.")
@common
@click.option("--local", is_flag=True, help="Continue in this process, whatever it ran on before.")
@click.option("--take-over", is_flag=True, help="Do not wait for the ledger that holds the run.")
@click.argument("run")
def resume(
    run: str, local: bool, take_over: bool, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Continue RUN where it was cut off, with the code it began with: what succeeded is not computed again."""
    prepare(root, address, verbose)
    store = current_store()
    spec = load_spec(store, RunId(run))
    handle = Run(store, run, _known_task(spec))
    if load_state(store, RunId(run)).phase in SUCCEEDED:
        click.echo(f"Run {run} has succeeded already: nothing to continue.", err=True)
        report(store, handle, output)
        return
    mode: Mode | None = "local" if local else None
    embedded = (mode or spec["mode"]) == "remote" and not has_cluster(address)
    if (mode or spec["mode"]) == "local":
        os.environ.update(spec.get("env_vars") or {})

    def begin() -> None:
        if embedded:
            start_ray(run)
        resume_run(store, run, mode=mode, take_over=take_over, lasting=not embedded)

    follow(store, handle, begin, output)


def _known_task(spec: dict[str, Any]) -> TaskTemplate | None:
    """The root's task, for the types of its outputs, if its file is where it was."""
    source = spec.get("source")
    if not source or not Path(source).is_file():
        return None
    try:
        return next((task for task in load_tasks(source).values() if task.name == spec["task"]), None)
    except click.ClickException:
        return None


class RunByDefault(click.Group):
    """A group that takes `abort RUN` as short for `abort run RUN`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the noun in where the user left it out."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault, short_help="Abort a run, or one action with all below it.")
def abort() -> None:
    """Abort a run, or one action with all below it; `abort RUN` is short for `abort run RUN`."""


@abort.command("run")
@common
@click.option("--reason", default="aborted by the user", show_default=True)
@click.argument("run")
def abort_run(run: str, reason: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Abort RUN with all its actions; returns when that is stored."""
    prepare(root, address, verbose, attach=True)
    Run.get(run).abort(reason)
    _say({"run": run, "action": ROOT_ACTION}, f"Aborted run {run}.", output)


@abort.command("action")
@common
@click.option("--reason", default="aborted by the user", show_default=True)
@click.argument("run")
@click.argument("action")
def abort_action(
    run: str, action: str, reason: str, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Abort ACTION of RUN and all below it."""
    prepare(root, address, verbose, attach=True)
    Run.get(run).abort_action(action, reason)
    _say({"run": run, "action": action}, f"Aborted action {action} of run {run}.", output)


def _say(what: dict[str, str], sentence: str, output: str) -> None:
    click.echo(json.dumps({**what, "aborted": True}) if output == "json" else sentence)
