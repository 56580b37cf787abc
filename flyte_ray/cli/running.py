"""The verb that starts runs: submit."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping
from typing import Any

import click

from flyte_ray.api.deployed import TaskDetails
from flyte_ray.api.reachable import find_environments, inclusions_of
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Mode, Runner
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.task import TaskTemplate
from flyte_ray.cli import job_side
from flyte_ray.cli.completing import OfTasks, complete_words
from flyte_ray.cli.deployed import DEPLOYED, SCRIPT, FileOrDeployed, deployed_tasks, find_deployed, show_deployed
from flyte_ray.cli.launching import check_detached, launch
from flyte_ray.cli.loading import load_tasks, pick_task
from flyte_ray.cli.options import common, insist, of_project, of_run, prepare, the_dashboard
from flyte_ray.cli.parameters import describe, parse_parameters
from flyte_ray.cli.words import merge_late, split_at_task, split_words
from flyte_ray.cluster.code import pack_code
from flyte_ray.cluster.images import map_image
from flyte_ray.cluster.options import remote_options, without_marks
from flyte_ray.cluster.session import has_cluster
from flyte_ray.runtime.aliases import AS_FLYTE
from flyte_ray.spec.ids import choose_run_name
from flyte_ray.spec.interface import Parameter
from flyte_ray.spec.task import EnvironmentSpec


@click.command(
    cls=OfTasks,
    # What stands behind FILE is not for click: its options may be the task's.
    context_settings={"allow_interspersed_args": False},
    short_help="Run a task of a file, or list its tasks.",
)
@common
@click.option("--local", is_flag=True, help="Run in this process, without Ray.")
@of_run
@click.option("--strict-replay", is_flag=True, help="Fail what runs again and calls something else than is on record.")
@click.option("--flyte", is_flag=True, help="Let 'import flyte' mean this package, in this process and in the run.")
@click.option("--dry-run", is_flag=True, help="Print Ray options and code bundle, run nothing.")
@of_project
@click.argument("file", type=FileOrDeployed(exists=True, dir_okay=False))
@click.argument("words", metavar="[TASK [PARAMETERS]]", nargs=-1, type=click.UNPROCESSED, shell_complete=complete_words)
@click.pass_context
def submit(context: click.Context, /, file: str, words: tuple[str, ...], **options: Any) -> None:
    """Run TASK of FILE with its PARAMETERS (`--x 3`); without TASK, list the file's tasks.

    Options may stand anywhere; behind TASK a name that is a parameter of the task belongs to the task.
    `flyte-ray submit FILE TASK --help` shows the task's parameters. With the word deployed-task in the place of FILE,
    TASK is a deployed one: ENV.TASK, or ENV.TASK:VERSION for another version than the latest. `python-script FILE --
    ARGS` runs a script, whose exit code is that of this command; `submit python-script --help` shows its options.
    """
    if file == SCRIPT:
        from flyte_ray.cli.scripts import run_script  # declares a task, which other submissions do without

        run_script(context, words, options)
        return
    ours, task, rest = split_at_task(context.command, words)
    options = _with_late(context, file, options, ours)
    if options["flyte"]:
        os.environ[AS_FLYTE] = "1"
    prepare(options["root"], options["address"], options["verbose"], travels=file == DEPLOYED and not options["local"])
    if task is None:
        tasks = deployed_tasks() if file == DEPLOYED else load_tasks(file, options["root_dir"])
        _list_tasks(file, tasks, options["output"])
        return
    template = find_deployed(task) if file == DEPLOYED else pick_task(file, task, options["root_dir"])
    ours, theirs = split_words(context.command, template.spec.interface, rest)
    options = _with_late(context, file, options, ours)
    insist(options["root"], options["address"], options["root_dir"], options["verbose"], options["image"])
    values = parse_parameters(
        template.spec.interface, task, theirs, template.spec.docs, f"flyte-ray submit {file} {task}"
    )
    if options["dry_run"]:
        _show_plan(template, options)
        return
    if not options["local"] and the_dashboard() is not None:
        from flyte_ray.cli.dashboard import pack_project, run_there  # which most commands do without

        run_there(pack_project([template.spec], file, options))
    _start(template, values, options)


def _with_late(context: click.Context, file: str, options: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """Add the options that stand behind FILE, and set the variables of a local run before its file is imported."""
    options = merge_late(context, file, options, words)
    if options["local"]:  # the file is imported in this process, as in a slot
        os.environ.update(options["env"])
    return options


def _list_tasks(file: str, tasks: Mapping[str, TaskTemplate], output: str) -> None:
    rows = []
    for name, task in tasks.items():
        words = [_parameter_words(item) for item in task.spec.interface.parameters]
        about = inspect.cleandoc(task.spec.docs or "").partition("\n")[0]
        rows.append({"task": name, "parameters": " ".join(words), "about": about})
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("none" if file == DEPLOYED else f"{file} has no tasks. Decorate a function with @env.task.")
    else:
        width = max(len(row["task"]) for row in rows)
        for row in rows:
            parts = (row["task"].ljust(width), row["about"], row["parameters"])
            click.echo("  ".join(part for part in parts if part).rstrip())


def _parameter_words(item: Parameter) -> str:
    if item.annotation is bool:
        return f"[--{item.name}]"
    words = f"--{item.name} {describe(item.annotation)}"
    return f"[{words}]" if item.has_default else words


def _start(template: TaskTemplate, values: dict[str, Any], options: dict[str, Any]) -> None:
    mode: Mode = "local" if options["local"] else "remote"
    embedded = mode == "remote" and not has_cluster(settings.address)
    check_detached(options, mode, embedded=embedded)
    name = choose_run_name(options["name"], os.urandom)
    runner = Runner(
        mode=mode,
        name=name,
        env_vars=options["env"],
        labels=options["label"],
        queue=options["queue"],
        max_action_concurrency=options["most"],
        copy_style=options["copy_style"],
        lasting=not embedded,
        strict_replay=options["strict_replay"],
        source=job_side.current.home_of(template.source_file) if job_side.current else None,
    )

    launch(lambda: runner.run(template, **values), Run(current_store(), name, template), options, embedded=embedded)


def _show_plan(template: TaskTemplate, options: dict[str, Any]) -> None:
    if isinstance(template, TaskDetails):
        show_deployed(template, options["output"])
        return
    packed = pack_code(template.spec, options["copy_style"], inclusions_of(template.spec), settings.root_dir)
    digest = packed[0] if packed else None
    plans = {each.name: _plan_of(each, digest, options["env"]) for each in find_environments(template.spec)}
    files = packed[1].files if packed else ()
    if options["output"] == "json":
        listed = [{"path": name, "bytes": size} for name, size in files]
        click.echo(json.dumps({"environments": plans, "files": listed}, indent=2))
        return
    for name, plan in plans.items():
        click.echo(f"Environment {name}: {json.dumps(plan, indent=2)}")
    click.echo(f"Code bundle: {len(files)} file{'s' * (len(files) != 1)}, {sum(size for _, size in files):,} bytes")
    for name, size in files:
        click.echo(f"  {size:>9,}  {name}")


def _plan_of(environment: EnvironmentSpec, digest: str | None, run_env: Mapping[str, str]) -> dict[str, Any]:
    mapped = map_image(environment.name, environment.image, known=settings.images).runtime_env
    return without_marks(remote_options(environment, bundle_digest=digest, run_env=run_env, mapped=mapped))
