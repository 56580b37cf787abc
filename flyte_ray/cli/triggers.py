"""The verbs for triggers: create, get, update and delete trigger, backfill."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import click

from flyte_ray.api.remote_trigger import Trigger
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Mode, Runner
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.triggering import backfill as fill
from flyte_ray.api.triggering import fires_in
from flyte_ray.cli.apps import update
from flyte_ray.cli.caching import delete
from flyte_ray.cli.moments import parse_moment
from flyte_ray.cli.options import common, pairs, prepare
from flyte_ray.cli.parameters import read_value
from flyte_ray.cli.reading import format_time, get, show
from flyte_ray.cli.tokens import create
from flyte_ray.cluster.session import has_cluster
from flyte_ray.ledger.deployed import describe_trigger, next_fires
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.tasks import load_deployed
from flyte_ray.ledger.triggers import TriggerRecord, list_triggers, load_fired, load_trigger, run_name
from flyte_ray.runtime.deployed import interface_of
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.schedule import Automation, Cron, FixedRate, us_of
from flyte_ray.spec.trigger import Trigger as Declared
from flyte_ray.spec.trigger import TriggerTime

_NO_CLUSTER = "It fires while a lasting cluster has a ledger of this root; none was reached from here."


@create.command("trigger", short_help="Make a trigger of a deployed task.")
@common
@click.option("--schedule", metavar="CRON", help="When it fires: minute hour day month weekday, such as '0 9 * * 1-5'.")
@click.option("--timezone", default="UTC", show_default=True, help="The zone whose clocks count for --schedule.")
@click.option("--every", metavar="MINUTES", type=int, help="Fire each so many minutes, in place of --schedule.")
@click.option("--description", default="", help="For people.")
@click.option("--auto-activate/--no-auto-activate", default=True, help="Whether it fires from now on.")
@click.option("--trigger-time-var", metavar="NAME", help="The input that is the moment of the fire.")
@click.option("--input", "inputs", metavar="K=V", multiple=True, callback=pairs, help="An input's value; repeatable.")
@click.option("--catchup", type=click.Choice(["once", "all", "none"]), default="once", help="For missed fires.")
@click.option(
    "--overlap", type=click.Choice(["allow", "queue", "skip"]), default="allow", help="While the last run goes on."
)
@click.argument("task")
@click.argument("name")
def create_trigger(task: str, name: str, root: str | None, address: str | None, output: str, **options: Any) -> None:
    """Have runs of the deployed TASK started by itself; NAME tells the trigger from others of the task.

    Its runs use the latest version of the task. Without --schedule and --every it is run on demand.
    """
    prepare(root, address, options["verbose"])
    interface = interface_of(load_deployed(current_store(), task))
    known = {item.name: item for item in interface.parameters}
    for given in options["inputs"]:
        if given not in known:
            raise click.UsageError(f"Task '{task}' should have the parameter {given!r}, but has: {', '.join(known)}.")
    try:
        inputs = {each: read_value(known[each].annotation, text) for each, text in options["inputs"].items()}
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    if options["trigger_time_var"]:
        inputs[options["trigger_time_var"]] = TriggerTime
    declared = Declared(
        name,
        _automation(options),
        options["description"],
        options["auto_activate"],
        inputs,
        catchup=options["catchup"],
        overlap=options["overlap"],
    )
    made = Trigger.create(declared, task)
    _say(made.record, "created", output)


def _automation(options: dict[str, Any]) -> Automation | None:
    if options["schedule"] and options["every"] is not None:
        raise click.UsageError("A trigger fires by --schedule or by --every, got both. Leave one of them out.")
    if options["every"] is not None:
        return FixedRate(options["every"])
    return Cron(options["schedule"], options["timezone"]) if options["schedule"] else None


def _say(record: TriggerRecord, done: str, output: str) -> None:
    [fire] = next_fires(record, time.time_ns() // 1000) or [0]
    if output == "json":
        click.echo(json.dumps({"trigger": record.id, "active": record.active, "next": format_time(fire)}))
        return
    state = "is active" if record.active else "is not active"
    click.echo(f"Trigger {record.id} is {done} and {state}." + (f" It fires at {format_time(fire)}." if fire else ""))
    if fire and not has_cluster(settings.address):
        click.echo(_NO_CLUSTER)


@get.command("trigger", short_help="List triggers, with their next and last fires.")
@common
@click.argument("task", required=False)
@click.argument("name", required=False)
def get_trigger(
    task: str | None, name: str | None, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """List the triggers of a root, of TASK, or the one called NAME.

    `last` is the fire that started the last run; `left_out` counts fires that were missed, or skipped because the last
    run went on.
    """
    prepare(root, address, verbose)
    store = current_store()
    found = [load_trigger(store, task, name)] if task and name else list_triggers(store, task)
    show([_row(record) for record in found], output)


def _row(record: TriggerRecord) -> dict[str, Any]:
    fired = load_fired(current_store(), record.task, record.name)
    about = describe_trigger(record, fired, time.time_ns() // 1000)
    return {
        "trigger": record.id,
        "fires": about["fires"],
        "active": "yes" if about["active"] else "no",
        "next": format_time(*about["next_us"] or [0]),
        "last": format_time(about["last_us"]),
        "run": about["last_run"],
        "waiting": about["waiting"] or "",
        "left_out": about["skipped"] or "",
        "version": about["version"] or "latest",
        **{name: about[name] for name in ("catchup", "overlap", "description", "error")},
    }


@update.command("trigger")
@common
@click.option("--activate/--deactivate", default=None, help="Switch it on or off.")
@click.argument("name")
@click.argument("task")
def update_trigger(
    name: str, task: str, activate: bool | None, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Switch the trigger NAME of TASK on or off; ledgers hear of it within seconds."""
    if activate is None:
        raise click.UsageError("Say what to change: --activate or --deactivate.")
    prepare(root, address, verbose)
    Trigger.update(name, task, activate)
    _say(load_trigger(current_store(), task, name), "changed", output)


@delete.command("trigger")
@common
@click.argument("name")
@click.argument("task")
def delete_trigger(name: str, task: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Take the trigger NAME of TASK off the record; its runs stay."""
    prepare(root, address, verbose)
    Trigger.delete(name, task)
    done = json.dumps({"trigger": f"{task}/{name}", "deleted": True})
    click.echo(done if output == "json" else f"Deleted trigger {task}/{name}.")


@click.command(short_help="Start the runs that a trigger would have started in the past.")
@common
@click.option("--from", "begin", required=True, metavar="TIME", help="First moment that counts, such as 2026-01-31.")
@click.option("--to", "end", required=True, metavar="TIME", help="The first moment that does not count any more.")
@click.option("--local", is_flag=True, help="Run in this process, one after another, without Ray.")
@click.option("--dry-run", is_flag=True, help="List the moments, run nothing.")
@click.argument("trigger", metavar="TRIGGER")
def backfill(trigger: str, begin: str, end: str, root: str | None, address: str | None, **options: Any) -> None:
    """Start a run for each fire of TRIGGER from one moment until before another one, UTC unless they say else.

    TRIGGER is TASK/NAME, or NAME if one task has it. A run that exists, because the trigger fired or was filled in
    before, stays as it is: so the command may be repeated.
    """
    prepare(root, address, options["verbose"], travels=not options["local"])
    record, first, last = _pick(trigger), _moment(begin, "--from"), _moment(end, "--to")
    if options["dry_run"]:
        moments = fires_in(record, first, last)
        rows = [{"fire": format_time(us_of(fire)), "run": run_name(record, us_of(fire))} for fire in moments]
        show(rows, options["output"])
        return
    mode: Mode | None = "local" if options["local"] else None
    rows = []
    for fire, run, started in fill(record, first, last, Runner(mode=mode)):
        rows.append({"fire": format_time(us_of(fire)), "run": run.name, "done": _done(run, started)})
    show(rows, options["output"])


def _done(run: Run, started: bool) -> str:
    """Say what was done of a fire; of a run in this process how it ended."""
    if not started:
        return "was there"
    return run.phase.value if load_spec(current_store(), RunId(run.name))["mode"] == "local" else "started"


def _pick(words: str) -> TriggerRecord:
    store = current_store()
    task, slash, name = words.rpartition("/")
    if slash:
        return load_trigger(store, task, name)
    known = list_triggers(store)
    found = [record for record in known if record.name == words]
    if len(found) != 1:
        listed = ", ".join(record.id for record in found or known) or "none"
        which = "several" if found else "none of this name"
        raise click.UsageError(
            f"Expected one trigger, as TASK/NAME, got {words!r}, of which there are {which}: {listed}."
        )
    return found[0]


def _moment(text: str, option: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}. Write for example 2026-01-31 or 2026-01-31T09:00.") from error
