"""The verbs for whole runs: get code, delete run."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import click

from flyte_ray.api.settings import current_store
from flyte_ray.cli.caching import delete
from flyte_ray.cli.completing import complete_runs
from flyte_ray.cli.options import common, prepare
from flyte_ray.cli.reading import get
from flyte_ray.ledger.deleting import delete_run
from flyte_ray.ledger.paths import code_key
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.spec.ids import RunId


@get.command("code", short_help="Fetch the code that a run uses.")
@common
@click.option("--dest", type=click.Path(file_okay=False), help="Where to put it (default: a folder of the run's name).")
@click.option("--no-extract", is_flag=True, help="Keep it as a zip file.")
@click.argument("run", shell_complete=complete_runs)
def get_code(
    run: str, dest: str | None, no_extract: bool, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Fetch the code that RUN began with; one that was resumed with other code, that one."""
    prepare(root, address, verbose, travels=False)  # its files belong here
    store, name = current_store(), RunId(run)
    spec = load_spec(store, name)
    digest = (load_state(store, name).code or spec["code"] or "").partition(":")[0]
    if not digest:
        raise click.ClickException(f"No code travelled with run {run}: {spec['source']} was imported where it ran.")
    data = store.get(code_key(digest))
    into = Path(dest or run)
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        files = packed.namelist()
        if no_extract:
            into = into.with_suffix(".zip") if dest is None else into / f"{run}.zip"
            into.parent.mkdir(parents=True, exist_ok=True)
            into.write_bytes(data)
        else:
            packed.extractall(into)
    said = f"{len(files)} file{'s' * (len(files) != 1)} of run {run} in {into}"
    click.echo(
        json.dumps({"run": run, "digest": digest, "path": str(into), "files": files}) if output == "json" else said
    )


@delete.command("run", short_help="Delete runs with all that they stored.")
@common
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_runs)
def delete_runs(runs: tuple[str, ...], root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Delete each RUN: its record, its values, its logs, and the kept outcomes that refer to them.

    A run that goes on is refused. Code stays: other runs may have it in common.
    """
    prepare(root, address, verbose)
    gone = []
    for run in runs:
        kept = delete_run(current_store(), RunId(run))
        gone.append({"run": run, "kept_outcomes": kept})
        if output != "json":
            with_it = f", and {kept} kept outcome{'s' * (kept != 1)} with it" if kept else ""
            click.echo(f"Deleted run {run}{with_it}.")
    if output == "json":
        click.echo(json.dumps(gone))
