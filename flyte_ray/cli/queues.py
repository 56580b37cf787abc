"""The verbs for queues: create queue, get queue, delete queue."""

from __future__ import annotations

import json
import time

import click

from flyte_ray.api.settings import current_store
from flyte_ray.cli.caching import delete
from flyte_ray.cli.options import common, prepare
from flyte_ray.cli.reading import format_time, get, show
from flyte_ray.cli.tokens import create
from flyte_ray.ledger.queues import delete_queue, list_queues, put_queue
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.queue import QueueLimits, parse_rate


def _rate(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_rate(text)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


@create.command("queue", short_help="Make a queue, whose limits hold for all runs.")
@common
@click.option(
    "--max-actions", metavar="N", type=int, help="Actions that run at a time, but those that wait for others."
)
@click.option("--priority", metavar="N", type=int, default=0, show_default=True, help="Higher ones get hardware first.")
@click.option(
    "--rate", metavar="N/s", callback=_rate, help="Actions that begin per second, minute or hour: 10/s, 30/m."
)
@click.argument("name")
def create_one(
    name: str,
    max_actions: int | None,
    priority: int,
    rate: float | None,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> None:
    """Make the queue NAME of this root, or give it other limits; a running ledger takes them up within seconds.

    Tasks name it by queue= of their environment, of @env.task or of override(), and a run by --queue for those that
    name none. The limits hold for all runs of one cluster together.
    """
    prepare(root, address, verbose)
    limits = QueueLimits(name, max_actions, priority, rate)
    put_queue(current_store(), limits, at_us=time.time_ns() // 1000, by=current_user())
    said = json.dumps({"queue": name, **_row(limits)}) if output == "json" else f"Queue {name}: {_in_words(limits)}."
    click.echo(said)


@get.command("queue", short_help="List queues and their limits.")
@common
def get_queues(root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """List the queues of this root, by name."""
    prepare(root, address, verbose)
    rows = [
        {"name": name, **_row(limits), "at": format_time(about["at_us"]), "by": about["by"]}
        for name, (limits, about) in list_queues(current_store()).items()
    ]
    show(rows, output)


@delete.command("queue")
@common
@click.argument("name")
def delete_one(name: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Delete the queue NAME: new runs cannot use it; its limits hold for those that do."""
    prepare(root, address, verbose)
    delete_queue(current_store(), name)
    click.echo(json.dumps({"queue": name, "deleted": True}) if output == "json" else f"Deleted queue {name}.")


def _row(limits: QueueLimits) -> dict[str, int | float | None]:
    return {"max_actions": limits.max_actions, "priority": limits.priority, "rate": limits.rate}


def _in_words(limits: QueueLimits) -> str:
    count = limits.max_actions
    most = f"at most {count} action{'s' * (count > 1)} at a time" if count else "any number of actions at a time"
    rate = f", {limits.rate:g} begin per second" if limits.rate else ""
    return f"{most}{rate}, priority {limits.priority}"
