"""The verbs that start, continue and end runs: submit, resume, abort."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from flyte_ray.api.environment import TaskTemplate
from flyte_ray.api.run import Run
from flyte_ray.api.running import Mode, Runner, resume_run
from flyte_ray.api.settings import current_store, settings
from flyte_ray.cli.live import shown
from flyte_ray.cli.loading import load_tasks, pick_task
from flyte_ray.cli.options import common, prepare
from flyte_ray.cli.parameters import parse_parameters
from flyte_ray.cluster.code import pack_code
from flyte_ray.cluster.options import remote_options
from flyte_ray.cluster.session import has_cluster, start_embedded
from flyte_ray.ledger.query import load_spec
from flyte_ray.spec.ids import ROOT_ACTION, RunId, make_run_name
from flyte_ray.spec.interface import Interface
from flyte_ray.spec.phase import ActionPhase


def _pairs(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"expected KEY=VALUE, got {text!r}", context, option)
        pairs[key] = value
    return pairs


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@common
@click.option("--local", is_flag=True, help="Run in this process, without Ray.")
@click.option("--name", help="The run's name (default: made up).")
@click.option("--env", multiple=True, callback=_pairs, help="KEY=VALUE: a variable of all slots.")
@click.option("--label", multiple=True, callback=_pairs, help="KEY=VALUE, shown with the run.")
@click.option("--detach", is_flag=True, help="Return when the run has started; it goes on in the cluster.")
@click.option("--dry-run", is_flag=True, help="Print Ray options and code bundle, run nothing.")
@click.option(
    "--copy-style",
    type=click.Choice(["loaded_modules", "all", "none"]),
    default="loaded_modules",
    help="Which files of the project travel.",
)
@click.option(
    "--root-dir",
    type=click.Path(exists=True, file_okay=False),
    help="The project's folder, from which FILE is imported (default: FILE's own).",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.argument("task", required=False)
@click.argument("parameters", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def submit(context: click.Context, /, file: str, task: str | None, parameters: tuple[str, ...], **options: Any) -> None:
    """Run TASK of FILE with its PARAMETERS (`--x 3`); without TASK, list the file's tasks.

    Options may stand after TASK too; a name that is a parameter of the task belongs to the task.
    """
    if task is None:
        prepare(options["root"], options["address"], options["verbose"])
        for name, found in load_tasks(file, options["root_dir"]).items():
            click.echo(f"{name}  {(found.spec.docs or '').strip().partition(chr(10))[0]}".rstrip())
        return
    template = pick_task(file, task, options["root_dir"])
    ours, theirs = split_words(context.command, template.spec.interface, parameters)
    if ours:
        again = context.command.make_context("submit", [*ours, file, task], parent=context.parent)
        given = {name for name in again.params if _is_given(again, name)}
        options.update({name: again.params[name] for name in given if name in options})
    prepare(options["root"], options["address"], options["verbose"], root_dir=options["root_dir"])
    values = parse_parameters(template.spec.interface, task, theirs, template.spec.docs)
    if options["dry_run"]:
        _show_plan(template, options["copy_style"])
        return
    _start(template, values, options)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def split_words(command: click.Command, interface: Interface, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide the words after TASK into our options and the task's: the task's parameters win."""
    parameters = {item.name for item in interface.parameters}
    flags = {name: item.is_flag for item in command.params if isinstance(item, click.Option) for name in item.opts}
    ours: list[str] = []
    theirs: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        plain = name.lstrip("-").replace("-", "_").removeprefix("no_")
        if not name.startswith("-") or name not in flags or plain in parameters:
            theirs.append(word)
            # The word behind a parameter's name is its value, also if it looks like an option of ours.
            if name.startswith("--") and plain in parameters and not equals and rest and not rest[0].startswith("--"):
                theirs.append(rest.pop(0))
            continue
        ours.append(word)
        if not equals and not flags[name] and rest:
            ours.append(rest.pop(0))
    return ours, theirs


def _start(template: TaskTemplate, values: dict[str, Any], options: dict[str, Any]) -> None:
    mode: Mode = "local" if options["local"] else "remote"
    embedded = mode == "remote" and not has_cluster(options["address"])
    if options["detach"] and (embedded or mode == "local"):
        raise click.UsageError(
            "--detach needs a cluster that goes on without this process, got none. Give --address, or leave it out."
        )
    runner = Runner(
        mode=mode,
        name=options["name"] or make_run_name(os.urandom),
        env_vars=options["env"],
        labels=options["label"],
        copy_style=options["copy_style"],
        lasting=not embedded,
    )
    if embedded:
        start_embedded()

    def begin() -> Run:
        run: Run = runner.run(template, **values)
        return run

    if options["detach"]:
        run = begin()
        click.echo(f"Run {run.name} goes on in the cluster.\nLook at it: flyte-ray get run {run.name}")
        return
    assert runner.name is not None
    follow(Run(current_store(), runner.name, template), begin, options["output"])


def _show_plan(template: TaskTemplate, copy_style: Any) -> None:
    packed = pack_code(template.spec, copy_style, template.spec.environment.include, settings.root_dir)
    environment = template.spec.environment
    options = remote_options(environment, bundle_digest=packed[0] if packed else None)
    click.echo(f"Environment {environment.name}: {json.dumps(options, indent=2)}")
    files = packed[1].files if packed else ()
    click.echo(f"Code bundle: {len(files)} files, {sum(size for _, size in files):,} bytes")
    for name, size in files:
        click.echo(f"  {size:>9,}  {name}")


def follow(run: Run, begin: Callable[[], Run], output: str) -> None:
    """Start a run, show it while it goes on, and end this process as the run ended: exit 0, 1 or 130."""
    try:
        with shown(run):
            begin()
            run.wait()
    except KeyboardInterrupt:
        _interrupt(run)
    except TypeError as error:
        raise click.UsageError(str(error)) from error
    root = run.state().root
    failed = root.phase not in (ActionPhase.SUCCEEDED, ActionPhase.RECOVERED)
    if output == "json":
        body = json.loads(root.result or "null")
        click.echo(json.dumps({"run": run.name, "phase": root.phase.value, "url": run.url, "result": body}))
    else:
        click.echo(f"Run {run.name}: {root.phase.value}  {run.url}")
        if failed:
            click.echo(json.loads(root.result or "{}").get("traceback", ""), err=True)
        else:
            for number, value in enumerate(run.outputs()):
                click.echo(f"o{number} = {value!r}")
        click.echo(f"Look at it: flyte-ray get action {run.name}")
    if failed:
        sys.exit(1)


def _interrupt(run: Run) -> None:
    try:
        if not run.done():
            run.abort("interrupted by the user")
    except Exception as error:
        click.echo(str(error), err=True)
    click.echo(f"Interrupted: run {run.name} was aborted.", err=True)
    sys.stderr.flush()
    # An abandoned thread may sleep for an hour, and a normal exit would wait for it; the record is stored.
    os._exit(130)


@click.command()
@common
@click.option("--local", is_flag=True, help="Continue in this process, whatever it ran on before.")
@click.option("--take-over", is_flag=True, help="Do not wait for the ledger that holds the run.")
@click.argument("run")
def resume(
    run: str, local: bool, take_over: bool, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Continue RUN where it was cut off, with the code it began with: what succeeded is not computed again."""
    prepare(root, address, verbose)
    store = current_store()
    spec = load_spec(store, RunId(run))
    mode: Mode | None = "local" if local else None
    embedded = (mode or spec["mode"]) == "remote" and not has_cluster(address)
    if embedded:
        start_embedded()
    lasting = not embedded
    follow(
        Run(store, run, _known_task(spec)),
        lambda: resume_run(store, run, mode=mode, take_over=take_over, lasting=lasting),
        output,
    )


def _known_task(spec: dict[str, Any]) -> TaskTemplate | None:
    """The root's task, for the types of its outputs, if its file is where it was."""
    source = spec.get("source")
    if not source or not Path(source).is_file():
        return None
    try:
        return next((task for task in load_tasks(source).values() if task.name == spec["task"]), None)
    except click.UsageError:
        return None


@click.group(invoke_without_command=False, cls=click.Group)
def abort() -> None:
    """Abort a run, or one action with all below it."""


@abort.command("run")
@common
@click.option("--reason", default="aborted by the user", show_default=True)
@click.argument("run")
def abort_run(run: str, reason: str, root: str | None, address: str | None, output: str, verbose: bool) -> None:
    """Abort RUN."""
    _abort(run, ROOT_ACTION, reason, root, address, verbose)


@abort.command("action")
@common
@click.option("--reason", default="aborted by the user", show_default=True)
@click.argument("run")
@click.argument("action")
def abort_action(
    run: str, action: str, reason: str, root: str | None, address: str | None, output: str, verbose: bool
) -> None:
    """Abort ACTION of RUN and all below it."""
    _abort(run, action, reason, root, address, verbose)


def _abort(run: str, action: str, reason: str, root: str | None, address: str | None, verbose: bool) -> None:
    prepare(root, address, verbose, attach=True)
    Run.get(run).abort_action(action, reason)
    click.echo(f"Aborted action {action} of run {run}." if action != ROOT_ACTION else f"Aborted run {run}.")
