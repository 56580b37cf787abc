"""Deploy a file's environments, and the verbs for deployed tasks: deploy, get task, delete task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from flyte_ray.api.declared import Environment
from flyte_ray.api.deploying import DeployedEntity
from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.settings import current_store
from flyte_ray.apps.deployment import DeployedAppEnvironment, Deployment
from flyte_ray.apps.deployment import deploy as deploy_environments
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.apps.reference import source_of
from flyte_ray.cli.caching import delete
from flyte_ray.cli.loading import pick_environments
from flyte_ray.cli.options import again, common, insist, of_project, prepare, the_dashboard
from flyte_ray.cli.reading import format_time, get, show
from flyte_ray.ledger.deployed import describe_task, describe_versions
from flyte_ray.ledger.tasks import delete_deployed, list_deployed, list_versions
from flyte_ray.spec.task import Sourced


@click.command(short_help="Deploy the tasks and apps of a file.")
@common
@click.option("--version", help="Of all these tasks (default: of each a digest of its content).")
@click.option("--dry-run", is_flag=True, help="Print the plan, store nothing.")
@of_project
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("env", required=False)
def deploy(file: str, env: str | None, **options: Any) -> None:
    """Deploy the environment ENV of FILE, or all its environments.

    Tasks are put on record, for runs and tasks that lack their code, which needs no cluster. Apps are served on the
    cluster. What these depend on (`depends_on`) is deployed with them. What has not changed stays as it is.
    """
    prepare(options["root"], options["address"], options["verbose"], travels=False)
    environments = pick_environments(file, env, options["root_dir"])
    insist(options["root"], options["address"], options["root_dir"], options["verbose"], options["image"])
    if the_dashboard() is not None:
        from flyte_ray.cli.dashboard import pack_project, run_there  # which most commands do without

        run_there(pack_project(list(_sources(environments)), file, options))
    found: list[Deployment] = deploy_environments(
        *environments, dry_run=options["dry_run"], version=options["version"], copy_style=options["copy_style"]
    )
    tasks = list({task.name: task for deployment in found for task in deployment.tasks}.values())
    apps = list({app.name: app for deployment in found for app in deployment.apps}.values())
    if options["dry_run"]:
        _show_plan(tasks, apps, options["output"])
    elif options["output"] == "json":
        click.echo(json.dumps([*map(_deployed_row, tasks), *map(_app_row, apps)], indent=2))
    else:
        _show_done(tasks, apps)


def _sources(environments: Sequence[Environment]) -> Iterator[Sourced]:
    for env in environments:
        if isinstance(env, TaskEnvironment):
            yield from (task.spec for task in env.tasks.values())
        elif isinstance(env, AppEnvironment):
            yield source_of(env)


def _show_done(tasks: list[DeployedEntity], apps: list[DeployedAppEnvironment]) -> None:
    _show_all(tasks, apps)
    changed = {"tasks": sum(task.is_changed for task in tasks), "apps": sum(app.is_changed for app in apps)}
    for kind, of in (("tasks", len(tasks)), ("apps", len(apps))):
        if changed[kind]:
            click.echo(f"Deployed {changed[kind]} of {of} {kind}.")
    if not any(changed.values()):
        click.echo("Nothing has changed.")
    if tasks:
        click.echo(f"Run one: {again('submit', 'deployed-task', tasks[0].name, '--help')}")
    if apps:
        click.echo(f"Look at it: {again('get app', apps[-1].name)}")


def _show_all(tasks: list[DeployedEntity], apps: list[DeployedAppEnvironment]) -> None:
    if tasks:
        show([_deployed_row(task) for task in tasks], "table")
        for sentence in (sentence for task in tasks for sentence in task.triggers):
            click.echo(sentence)
    if apps:
        show([_app_row(app) for app in apps], "table")


def _deployed_row(task: DeployedEntity) -> dict[str, Any]:
    return {"task": task.name, "version": task.version, "change": task.change, "interface": task.interface}


def _app_row(app: DeployedAppEnvironment) -> dict[str, Any]:
    return {"app": app.name, "change": app.change, "url": app.endpoint}


def _show_plan(tasks: list[DeployedEntity], apps: list[DeployedAppEnvironment], output: str) -> None:
    plans = {task.record.environment["name"]: json.loads(task.record.ref.options) for task in tasks}
    if output == "json":
        rows = {"tasks": [_deployed_row(task) for task in tasks], "apps": [_app_row(app) for app in apps]}
        click.echo(json.dumps({**rows, "environments": plans}, indent=2))
        return
    _show_all(tasks, apps)
    for name, plan in plans.items():
        click.echo(f"Environment {name}: {json.dumps(plan, indent=2)}")
    click.echo("Nothing was deployed: this is the plan.")


@get.command("task", short_help="List deployed tasks, or the versions of one.")
@common
@click.option("--limit", default=100, show_default=True, help="How many at most.")
@click.option("--entrypoint", is_flag=True, help="Only tasks that are meant to be run by people.")
@click.argument("name", required=False)
@click.argument("version", required=False)
def get_task(
    name: str | None,
    version: str | None,
    limit: int,
    entrypoint: bool,
    root: str | None,
    address: str | None,
    output: str,
    verbose: bool,
) -> None:
    """List the deployed tasks of a root in their latest versions; of NAME all versions, newest first.

    `changed` says how the interface of a version differs from that of the one before.
    """
    prepare(root, address, verbose)
    store = current_store()
    if name is None:
        records = [record for record in list_deployed(store) if record.about["entrypoint"] or not entrypoint]
        show([_row(describe_task(record)) for record in records[:limit]], output)
        return
    versions = list_versions(store, name)
    rows = [
        {**_row(about), "changed": about["changed"]}
        for about in describe_versions(versions)
        if version in (None, about["version"])
    ]
    if not rows:
        raise click.ClickException(
            f"Expected a version of task '{name}', got {version!r}. It has:"
            f" {', '.join(dict.fromkeys(record.version for record in versions))}."
        )
    show(rows[:limit], output)


def _row(about: dict[str, Any]) -> dict[str, Any]:
    shown = {name: about[name] for name in ("task", "version", "interface")}
    return {
        **shown,
        "deployed": format_time(about["at_us"]),
        **{name: about[name] for name in ("by", "image", "code")},
    }


@delete.command("task")
@common
@click.argument("name")
@click.argument("version", required=False)
def delete_task(
    name: str, version: str | None, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Take VERSION of the deployed task NAME off the record, or all its versions; runs that use it go on."""
    prepare(root, address, verbose)
    gone = delete_deployed(current_store(), name, version)
    done = json.dumps({"task": name, "deleted": gone})
    click.echo(done if output == "json" else f"Deleted task {name}, version {', '.join(gone)}.")
