"""The verbs for a local Ray that stays: up, down; and get cluster."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from functools import partial
from typing import Any

import click

from flyte_ray.api.settings import current_store, settings
from flyte_ray.cli.console import PORT
from flyte_ray.cli.options import again, common, prepare
from flyte_ray.cli.reading import get, show
from flyte_ray.cluster.exposure import find_exposure
from flyte_ray.cluster.lasting import HOST, LOOPBACK, end_lasting, start_lasting
from flyte_ray.cluster.reach import AUTH_MODE
from flyte_ray.cluster.session import connect, ensure_ledger, has_cluster
from flyte_ray.errors import ClusterError
from flyte_ray.ledger.cutoff import list_cut_off
from flyte_ray.ledger.triggers import list_triggers


@click.command(short_help="Start a Ray on this machine that stays, with the console.")
@common
@click.option(
    "--port", default=6379, show_default=True, type=click.IntRange(0, 65535), help="Of its head; 0: a free one."
)
@click.option("--num-cpus", type=click.IntRange(1), help="How many CPUs it has (default: this machine's).")
@click.option("--console-port", default=PORT, show_default=True, type=click.IntRange(1, 65535), help="Of the console.")
@click.option("--no-console", is_flag=True, help="Serve no console.")
def up(
    port: int,
    num_cpus: int | None,
    console_port: int,
    no_console: bool,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> None:
    """Start a Ray on this machine that stays until `flyte-ray down`; other commands find it by themselves.

    It listens on 127.0.0.1 alone. A program that calls `ray.init` itself reaches it where the variables are set that
    are printed.
    """
    prepare(root, None, verbose, travels=False)
    if address is not None:
        raise click.UsageError("'up' starts a Ray on this machine: it takes a --port, no --address.")
    words = ("console", "--root", current_store().uri, "--port", str(console_port))
    others = {} if no_console else {"console": partial(_command, words)}
    record = start_lasting(port, num_cpus, others)
    triggers = [each for each in list_triggers(current_store()) if each.active and each.automation]
    if triggers:  # they are fired by the root's ledger, which a run would start else
        connect(record["address"])
        ensure_ledger(current_store(), lasting=True)
    console = None if no_console else f"http://{HOST}:{console_port}/"
    if output == "json":
        click.echo(json.dumps({**record, "console": console}))
        return
    click.echo(f"Ray runs at {record['address']}, its dashboard is at http://{record['dashboard']}/")
    if console:
        click.echo(f"The console of {current_store().uri} is at {console}")
    if triggers:
        click.echo(f"It fires {len(triggers)} trigger{'s' * (len(triggers) != 1)}: {again('get trigger')}")
    click.echo("Commands find it by themselves, programs by flyte.init_from_config(), ray.init() by these variables:")
    found = find_exposure(record["address"])
    token = f" {AUTH_MODE}=token" if found and found.asks_for_token else ""  # Ray's own clients do not find that out
    click.echo(f"  export RAY_ADDRESS={record['address']} {'='.join(LOOPBACK)}{token}")
    click.echo(f"End it: {again('down')}")


def _command(words: tuple[str, ...], address: str) -> list[str]:
    return [sys.executable, "-m", "flyte_ray.cli.main", *words, "--address", address]


@click.command(short_help="End the Ray that 'up' has started.")
@common
def down(root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """End the Ray that `flyte-ray up` has started, and its console; no other Ray is touched.

    What runs there is cut off, and can be continued.
    """
    prepare(root, address, verbose, travels=False)
    record = end_lasting()
    cut_off = list(list_cut_off(current_store())) if record else []
    if output == "json":
        click.echo(json.dumps({"ended": record is not None, "cut_off": cut_off}))
        return
    click.echo(f"Ended the Ray at {record['address']}." if record else "No Ray of 'flyte-ray up' runs: nothing to end.")
    for run in cut_off:
        click.echo(f"Run {run} was cut off. Continue it: {again('resume', run)}")


@get.command("cluster", short_help="Show the cluster that commands use.")
@common
@click.option("--environments", is_flag=True, help="Show which packages and containers lie ready on each node.")
def get_cluster(environments: bool, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Show the nodes of the cluster that commands use, what they have, and whether a ledger serves the root there."""
    prepare(root, address, verbose)
    if not has_cluster(settings.address):
        raise ClusterError(
            "No cluster is named: commands start a Ray of their own. Give --address or RAY_ADDRESS, or 'flyte-ray up'."
        )
    connect(settings.address)
    from flyte_ray.cluster.nodes import describe_cluster  # imports Ray, half a second, which only this verb pays

    found = describe_cluster(current_store())
    if environments:
        from flyte_ray.cluster.cached import describe_environments  # as above

        cached = describe_environments()
        found |= {"environments": cached.rows, "unknown": cached.unknown}
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    ledger = "serves" if found["ledger"] else "does not serve yet"
    click.echo(f"Ray {found['ray']} at {found['address']}; a ledger {ledger} {current_store().uri}")
    show([{**node, "resources": _sizes(node["resources"])} for node in found["nodes"]], output)
    click.echo(f"free: {', '.join(f'{name}={value}' for name, value in _sizes(found['free']).items())}")
    if environments:
        click.echo("environments:")
        show([cached_row(each) for each in found["environments"]], output)
        for sentence in found["unknown"]:
            click.echo(sentence)


def cached_row(found: dict[str, Any]) -> dict[str, str]:
    """Show what lies ready on a node for people."""
    size, age = found["bytes"], found["age_s"]
    return {
        **{name: found[name] for name in ("node", "by", "environment")},
        "size": "unknown" if size is None else f"{size / 2**20:,.1f} MiB",
        "age": "unknown" if age is None else str(timedelta(seconds=int(age))),
    }


def _sizes(resources: dict[str, float]) -> dict[str, str]:
    return {name: f"{value / 2**30:.1f}Gi" if "memory" in name else f"{value:g}" for name, value in resources.items()}
