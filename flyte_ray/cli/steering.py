"""The verb that ends runs: abort."""

from __future__ import annotations

import json

import click

from flyte_ray.api.run import Run
from flyte_ray.cli.completing import complete_runs
from flyte_ray.cli.options import common, prepare
from flyte_ray.spec.ids import ROOT_ACTION


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
@click.argument("run", shell_complete=complete_runs)
def abort_run(run: str, reason: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Abort RUN with all its actions; returns when that is stored."""
    prepare(root, address, verbose, attach=True)
    Run.get(run).abort(reason)
    _say({"run": run, "action": ROOT_ACTION}, f"Aborted run {run}.", output)


@abort.command("action")
@common
@click.option("--reason", default="aborted by the user", show_default=True)
@click.argument("run", shell_complete=complete_runs)
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
