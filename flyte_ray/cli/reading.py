"""The verbs that show what a root holds: `get run|action|io|logs|report`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store
from flyte_ray.api.tracebacks import in_users_files
from flyte_ray.apps.served import App
from flyte_ray.cli.completing import complete_runs
from flyte_ray.cli.options import again, common, prepare
from flyte_ray.cli.watching import LOOK_S, watchable
from flyte_ray.ledger.attempts import describe_failure
from flyte_ray.ledger.cache import CacheUse
from flyte_ray.ledger.cutoff import Hold, hold_of
from flyte_ray.ledger.overview import (
    describe_action,
    describe_run,
    describe_runs,
    describe_step,
    describe_values,
    load_actions,
    origin_text,
    phase_text,
    pick_action,
)
from flyte_ray.ledger.query import load_past, load_spec
from flyte_ray.ledger.replay import sentence
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.phase import ActionPhase

_SHOWN: Final = ("id", "parent", "phase", "task", "attempts", "seconds", "diverged", "cache", "aborted_by", "error")


_STYLES: Final = {
    **dict.fromkeys(("succeeded", "recovered", "ok", "ACTIVE", "HEALTHY", "RUNNING"), "green"),
    **dict.fromkeys(("failed", "timed_out", "wrong", "UNHEALTHY"), "red"),
    **dict.fromkeys(("aborted", "paused", "cut", "note"), "yellow"),
    **dict.fromkeys(("running", "queued"), "cyan"),
}
"""How the first word of a cell is coloured on a terminal."""


@click.group(short_help="Show runs, actions, their values and what they printed.")
def get() -> None:
    """Show what a root holds; needs no cluster."""


def show(rows: list[dict[str, Any]], output: str) -> None:
    """Print rows as a table or as JSON."""
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo("none")
        return
    table = Table(box=None, pad_edge=False)
    names = [name for name in rows[0] if any(row[name] not in (None, "", {}) for row in rows)]
    for name in names:
        table.add_column(name.upper(), no_wrap=name != "error", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[name]), _STYLES.get(str(row[name]).partition(" ")[0], "")) for name in names))
    console = Console()
    # Off a terminal nothing is cut: other programs read it.
    (console if console.is_terminal else Console(width=1000)).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        pairs = value.items()
        return ", ".join(f"{item:,} {name}" if isinstance(item, int) else f"{name}={item}" for name, item in pairs)
    return "" if value is None else str(value)


def format_time(us: int) -> str:
    """Show microseconds since the epoch in UTC; nothing for 0."""
    return datetime.fromtimestamp(us / 1e6, timezone.utc).isoformat(sep=" ", timespec="seconds") if us else ""


@get.command("run")
@common
@watchable
@click.option("--limit", default=100, show_default=True, help="How many runs at most.")
@click.argument("name", required=False, shell_complete=complete_runs)
def get_run(name: str | None, limit: int, root: str | None, address: str | None, output: str, verbose: bool) -> bool:
    """List runs, newest first, or show one with its actions by phase.

    Of a run that has not ended it says who holds it, or that it was cut off, as far as one look can tell.
    """
    prepare(root, address, verbose)
    store = current_store()
    rows = []
    for run in [describe_run(store, name)] if name else describe_runs(store, limit):
        row = {
            "name": run["name"],
            "phase": phase_text(run) if output == "table" else run["phase"],
            "task": run["task"],
            "started": format_time(run["started_us"]),
            "actions": run["actions"],
            "labels": run["labels"],
            "from": origin_text(run),
        }
        rows.append(row if output == "table" else {**row, **(run["hold"] or Hold(None, None, False)._asdict())})
    show(rows, output)
    return name is not None and ActionPhase(run["phase"]).is_terminal


@get.command("action", short_help="List the actions of a run, or show one.")
@common
@watchable
@click.option(
    "--phase",
    "--in-phase",
    "phases",
    type=click.Choice([phase.value for phase in ActionPhase]),
    multiple=True,
    help="Only actions in this phase; repeatable.",
)
@click.option("--limit", default=100, show_default=True, help="How many rows of a table at most; 0: all.")
@click.argument("run", shell_complete=complete_runs)
@click.argument("action", required=False)
def get_action(
    run: str,
    action: str | None,
    phases: tuple[str, ...],
    limit: int,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> bool:
    """List the actions of RUN: id, phase, task, seconds that its last attempt ran, error; of ACTION its steps too.

    An action stands below the one that called it, its task further in. Of ACTION it also says why attempts failed. In
    the column `cache` stands who made a kept outcome that was used, or `kept`; in `diverged`, how many calls of an
    action that ran again were others than those on record.
    """
    prepare(root, address, verbose)
    actions = load_actions(current_store(), run)
    if action is None:
        _list_actions(run, actions, phases, limit if output == "table" else 0, output)
        _warn_if_cut_off(run, actions)
        return ROOT_ACTION in actions and actions[ROOT_ACTION].phase.is_terminal
    item = pick_action(actions, run, action)
    row, diverged = _row(item), [sentence(item, body) for _, body in item.diverged or ()]
    past = load_past(current_store(), RunId(run), action)
    steps, failures = list(map(describe_step, past.steps)), list(map(describe_failure, past.failures))
    if output == "json":
        show([{**row, "steps": steps, "divergences": diverged, "failures": failures}], output)
        return item.phase.is_terminal
    show([row], output)
    if item.cache:
        use = CacheUse.load(item.cache)
        follows = f", which follows {', '.join(use.follows)}" if use.follows else ""
        click.echo(f"Its outcome is kept as {use.key} for version {use.version[:12]}{follows}.")
    for text in diverged:
        click.echo(f"{text}.")
    if steps:
        click.echo()
        show(steps, output)
    for failure in failures:
        click.echo(f"\nattempt {failure['attempt']} ({failure['outcome']}): {failure['error']}")
    if failures and failures[-1]["traceback"]:  # those of the others are in the JSON
        click.echo(f"\nTraceback of attempt {failures[-1]['attempt']} (most recent call last):")
        spec = load_spec(current_store(), RunId(run))
        click.echo(in_users_files(failures[-1]["traceback"], spec["source"], spec["code"]), nl=False)
    return item.phase.is_terminal


def _list_actions(run: str, actions: dict[str, ActionState], phases: tuple[str, ...], limit: int, output: str) -> None:
    found = [(item, depth) for item, depth in _tree(actions) if not phases or item.phase.value in phases]
    shown = found[: limit or None]
    rows = [_row(item) for item, _ in shown]
    if output == "table" and not phases:
        for row, (_, depth) in zip(rows, shown, strict=True):
            row.update(parent=None, task=f"{'  ' * depth}{row['task']}")
    show(rows, output)
    if len(shown) < len(found):
        click.echo(
            f"{len(shown):,} of {len(found):,} actions. All: {again('get action', run, '--limit', '0')}", err=True
        )
        if not phases:
            click.echo(f"Those that failed: {again('get action', run, '--phase', 'failed')}", err=True)


def _tree(actions: dict[str, ActionState]) -> Iterator[tuple[ActionState, int]]:
    """Yield each action behind the one that called it, with its depth."""
    below: dict[str | None, list[ActionState]] = {}
    for item in actions.values():
        below.setdefault(item.parent if item.parent in actions else None, []).append(item)
    waiting = [(item, 0) for item in reversed(below.get(None, ()))]
    while waiting:
        item, depth = waiting.pop()
        yield item, depth
        waiting += [(child, depth + 1) for child in reversed(below.get(item.id, ()))]


def _warn_if_cut_off(run: str, actions: dict[str, ActionState]) -> None:
    """Say of the phases that were just shown that nobody is about to change them."""
    if ROOT_ACTION in actions and not actions[ROOT_ACTION].phase.is_terminal:
        hold = hold_of(current_store(), RunId(run))
        if hold.is_cut_off:
            click.echo(
                f"The run was {hold.describe(actions[ROOT_ACTION].phase)}. Continue it: {again('resume', run)}",
                err=True,
            )


def _row(item: ActionState) -> dict[str, Any]:
    about = describe_action(item)
    return {name: about[name] for name in _SHOWN}


@get.command("io", short_help="Print inputs and result of an action as JSON.")
@common
@click.argument("run", shell_complete=complete_runs)
@click.argument("action", default=ROOT_ACTION)
def get_io(run: str, action: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Print inputs and result of ACTION of RUN (default a0) as JSON."""
    prepare(root, address, verbose)
    item = pick_action(load_actions(current_store(), run), run, action)
    values = describe_values(item)
    if isinstance(values["result"], dict) and values["result"].get("traceback") and not item.has_succeeded:
        spec = load_spec(current_store(), RunId(run))
        values["result"]["traceback"] = in_users_files(values["result"]["traceback"], spec["source"], spec["code"])
    click.echo(json.dumps(values, indent=2))


@get.command("logs", short_help="Print what an action printed.")
@common
@click.option("--attempt", type=click.IntRange(0), help="Only what this attempt printed, counted from 0.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time, UTC.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the action has ended.")
@click.option("--app", help="Of the replicas of this app, in place of a run: the last lines of each that lives.")
@click.argument("run", required=False, shell_complete=complete_runs)
@click.argument("action", default=ROOT_ACTION)
def get_logs(
    app: str | None,
    run: str | None,
    action: str,
    attempt: int | None,
    timestamps: bool,
    follow: bool,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> None:
    """Print what the attempts of ACTION of RUN (default a0) printed, as far as it is stored; or what an app printed."""
    prepare(root, address, verbose)
    if (app is None) == (run is None):
        raise click.UsageError("Say of what: RUN [ACTION], or --app NAME.")
    if follow and (run is None or output == "json"):
        raise click.UsageError("--follow goes with RUN and text: leave --app and -o json out.")
    if run is None:
        _show_app_logs(str(app), output)
        return
    if follow:
        _follow_logs(Run.get(run), action, attempt, timestamps)
        return
    pick_action(load_actions(current_store(), run), run, action)
    text = Run.get(run).read_log(action, attempt, show_ts=timestamps)
    if output == "json":
        click.echo(json.dumps({"run": run, "action": action, "text": text}))
    elif text:
        click.echo(text, nl=False)
    else:
        others = f"'{again('get action', run)}' lists its actions"
        click.echo(f"Nothing is stored that action {action} of run {run} printed. {others}.", err=True)


def _follow_logs(run: Run, action: str, attempt: int | None, timestamps: bool) -> None:
    """Print what an action prints as it is stored, until it has ended."""
    shown = ""
    while True:
        actions = run.state().actions
        ended = pick_action(actions, run.name, action).phase.is_terminal if actions else run.done()
        text = run.read_log(action, attempt, show_ts=timestamps)
        click.echo(text.removeprefix(shown), nl=False)
        shown = text
        if ended:
            return
        time.sleep(LOOK_S)


def _show_app_logs(name: str, output: str) -> None:
    logs = App.get(name).read_logs()
    if output == "json":
        click.echo(json.dumps(logs, indent=2))
    for each in logs if output != "json" else ():
        click.echo(f"--- replica {each['replica']} on node {each['node'][:8]}\n{each['text']}", nl=False)


@get.command("report")
@common
@click.option(
    "--attempt", type=click.IntRange(0), help="The one of this attempt, counted from 0 (default: the latest)."
)
@click.argument("run", shell_complete=complete_runs)
@click.argument("action", required=False)
def get_report(
    run: str, action: str | None, attempt: int | None, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Print the HTML page that ACTION of RUN has reported: `get report RUN > report.html`.

    Without ACTION that of a0, or of the only action that has one.
    """
    prepare(root, address, verbose)
    found = Run.get(run)
    if action is None:
        reported = found.list_reported()
        action = reported[0] if len(reported) == 1 else ROOT_ACTION
        if action != ROOT_ACTION:
            click.echo(f"The report of action {action}, which is the only one of run {run}.", err=True)
    pick_action(load_actions(current_store(), run), run, action)
    page = found.read_report(action, attempt)
    click.echo(json.dumps({"run": run, "action": action, "html": page}) if output == "json" else page)
