"""The verbs for apps: serve, get app, update app, delete app."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import click

from flyte_ray.api.settings import current_store, settings
from flyte_ray.apps.reference import source_of
from flyte_ray.apps.served import App, states
from flyte_ray.apps.serving import Server
from flyte_ray.cli.caching import delete
from flyte_ray.cli.loading import pick_app
from flyte_ray.cli.options import again, common, insist, of_project, pairs, prepare, the_dashboard
from flyte_ray.cli.reading import format_time, get, show
from flyte_ray.cluster.session import address_here, has_cluster, is_connected, start_embedded
from flyte_ray.ledger.apps import AppRecord, find_address, find_cluster, list_apps, load_app


@click.command(short_help="Serve an app of a file.")
@common
@click.option("--local", is_flag=True, help="Serve in this process, without Ray, until Ctrl-C.")
@click.option("--env-var", metavar="K=V", multiple=True, callback=pairs, help="A variable of the app; repeatable.")
@click.option("--parameter", metavar="K=V", multiple=True, callback=pairs, help="A parameter's value; repeatable.")
@of_project
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("app", metavar="[ENV]", required=False)
def serve(file: str, app: str | None, **options: Any) -> None:
    """Serve the app ENV of FILE, and return when it answers; ENV may be left out where FILE has one.

    On a cluster it goes on without this process. Without a cluster, or with --local, it is served until Ctrl-C.
    """
    prepare(options["root"], options["address"], options["verbose"], travels=False)
    env = pick_app(file, app, options["root_dir"])
    insist(options["root"], options["address"], options["root_dir"], options["verbose"], options["image"])
    if not options["local"] and the_dashboard() is not None:
        from flyte_ray.cli.dashboard import pack_project, run_there  # which most commands do without

        run_there(pack_project([source_of(env)], file, options))
    embedded = not options["local"] and not has_cluster(settings.address)
    if embedded:
        start_embedded()
    handle = Server(
        mode="local" if options["local"] else "remote",
        env_vars=options["env_var"],
        parameter_values={env.name: options["parameter"]},
        copy_style=options["copy_style"],
        lasting=not embedded,
    ).serve(env)
    stays = not (embedded or options["local"])
    if options["output"] == "json":
        click.echo(json.dumps({"app": handle.name, "url": handle.endpoint}))
    else:
        click.echo(f"App {handle.name} answers at {handle.endpoint}")
        if env.requires_auth and not options["local"]:
            click.echo(f"It asks for a token: {again('create token', 'NAME', '--scope', f'app:{handle.name}')}")
        click.echo(f"Look at it: {again('get app', handle.name)}" if stays else "Ctrl-C ends it.")
    if not stays:
        try:
            threading.Event().wait()
        finally:
            handle.deactivate(wait=True)


@get.command("app")
@common
@click.argument("name", required=False)
def get_app(name: str | None, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """List the apps of a root, or show one; their status is that of the cluster that serves them, if it answers."""
    prepare(root, address, verbose)
    store = current_store()
    records = [load_app(store, name)] if name else list_apps(store)
    found = states(name) if name else states()
    here = address_here() if is_connected() else ""
    rows = []
    for record in records:
        state = found.get(record.name) or _missing(record, find_cluster(store, record.name), here)
        url = find_address(store, record.name)
        links = {link["title"]: _link(link, url) for link in record.app.get("links", ())}
        row = _row(record, url, state)
        rows.append({**row, "links": links} if name or output == "json" else row)  # they are long
    show(rows, output)


def _missing(record: AppRecord, where: str, here: str) -> dict[str, Any]:
    """Say how an app is that is not among those of the cluster at `here`; `where` is its own."""
    if record.state == "active" and where != here:
        ended = "it was served as long as its command ran" if not record.lasting else "is it gone?"
        return {"status": "UNKNOWN", "replicas": {}, "message": f"no answer from its cluster at {where}: {ended}"}
    return {"status": "NOT_SERVED" if here else "", "replicas": {}}


def _row(record: AppRecord, url: str, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "app": record.name,
        "wanted": record.state,
        "status": state["status"],
        "replicas": {name.lower(): count for name, count in state["replicas"].items() if count},
        "url": url if record.state == "active" else "",
        "type": record.app["type"] or record.kind,
        "token": "needed" if record.app["requires_auth"] else "not needed",
        "revision": record.revision,
        "at": format_time(record.at_us),
        "by": record.by,
        "parameters": {name: _origin(about) for name, about in record.parameters.items()},
        "message": state.get("message", ""),
    }


def _link(link: Mapping[str, Any], url: str) -> str:
    """Return where a link of an app leads, which answers below `url`."""
    return f"{url}{link['path']}" if link["is_relative"] else str(link["path"])


def _origin(about: Mapping[str, Any]) -> str:
    return f"output of {about['run']}" if "run" in about else str(about["value"])


@click.group(short_help="Switch apps and triggers off and on.")
def update() -> None:
    """Change what runs."""


@update.command("app")
@common
@click.option("--activate/--deactivate", default=None, help="Switch it on or off.")
@click.option("--refresh", is_flag=True, help="Serve the newest outputs of the tasks that its parameters name.")
@click.option("--force", is_flag=True, help="With --deactivate: also if the app's cluster is gone for good.")
@click.option("--wait", is_flag=True, help="Accepted as in Flyte: it always returns when that is done.")
@click.argument("name")
def update_app(
    name: str,
    activate: bool | None,
    refresh: bool,
    force: bool,
    wait: bool,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> None:
    """Switch the app NAME off or on, or have it serve what is new.

    Deactivated, it takes no requests and no resources, and stays on record. --refresh drops no request.
    """
    if activate is None and not refresh:
        raise click.UsageError("Say what to change: --activate, --deactivate or --refresh.")
    if force and activate is not False:
        raise click.UsageError("--force goes with --deactivate: what is to be served needs its cluster.")
    prepare(root, address, verbose)
    app = App.get(name)
    if refresh:
        app.refresh()
    if activate is not None:
        app.activate(wait=wait) if activate else app.deactivate(wait=wait, force=force)
    state = app.desired_state
    url = app.endpoint if state == "active" else ""
    sentence = f"App {name} answers at {url}" if url else f"App {name} is deactivated."
    click.echo(json.dumps({"app": name, "state": state, "url": url}) if output == "json" else sentence)


@delete.command("app")
@common
@click.option("--force", is_flag=True, help="Also if the app's cluster is gone for good.")
@click.argument("name")
def delete_app(name: str, force: bool, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """End the app NAME, and take it off the record."""
    prepare(root, address, verbose)
    App.delete(name, force=force)
    click.echo(json.dumps({"app": name, "deleted": True}) if output == "json" else f"Deleted app {name}.")
