"""The verbs for kept outcomes: get cache, delete cache."""

from __future__ import annotations

import click

from flyte_ray.api.settings import current_store
from flyte_ray.cli.options import common, prepare
from flyte_ray.cli.reading import format_time, get, show
from flyte_ray.ledger.paths import cache_key
from flyte_ray.ledger.query import list_kept


@get.command("cache", short_help="List kept outcomes.")
@common
@click.option("--task", help="Those of one task only, such as 'env.function'.")
def get_cache(task: str | None, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """List kept outcomes: key, task, who made them and when; the newest first."""
    prepare(root, address, verbose)
    kept = sorted(list_kept(current_store()).items(), key=lambda pair: -pair[1]["at_us"])
    rows = [
        {
            "key": key,
            "task": entry["task"],
            "version": entry["version"][:12],
            "made by": f"{entry['run']}/{entry['action']}",
            "at": format_time(entry["at_us"]),
        }
        for key, entry in kept
        if task in (None, entry["task"])
    ]
    show(rows, output)


@click.group(short_help="Delete runs, apps, tasks, triggers, queues, secrets, tokens.")
def delete() -> None:
    """Delete what the store holds."""


@delete.command("cache")
@common
@click.option("--task", help="Those of one task, such as 'env.function'.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.argument("keys", nargs=-1)
def delete_cache(
    keys: tuple[str, ...],
    task: str | None,
    everything: bool,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> None:
    """Delete the kept outcomes with these KEYS, as `get cache` shows them; the runs that made them stay."""
    prepare(root, address, verbose)
    if not keys and task is None and not everything:
        raise click.UsageError("Say which: KEYS as 'flyte-ray get cache' shows them, --task NAME, or --all.")
    store = current_store()
    kept = list_kept(store)
    unknown = [key for key in keys if key not in kept]
    if unknown:
        raise click.UsageError(f"The store keeps nothing under {', '.join(unknown)}. 'flyte-ray get cache' lists keys.")
    chosen = [key for key, entry in kept.items() if everything or key in keys or entry["task"] == task]
    store.delete([cache_key(key) for key in chosen])
    click.echo(f"Deleted {len(chosen)} kept outcome{'' if len(chosen) == 1 else 's'}.")
