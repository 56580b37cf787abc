"""The verb that starts runs anew: rerun."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from flyte_ray.api.rerunning import Source, check_request, find_source, load_recorded
from flyte_ray.api.revising import Plan, plan_revision
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Mode, Runner
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.task import TaskTemplate
from flyte_ray.cli.completing import complete_runs
from flyte_ray.cli.debugging import stop_where_it_fails
from flyte_ray.cli.following import report
from flyte_ray.cli.launching import check_detached, launch
from flyte_ray.cli.options import common, insist, pairs, prepare
from flyte_ray.cli.parameters import parse_parameters
from flyte_ray.cli.resuming import show_plan, todays_tasks
from flyte_ray.cli.words import merge_late, split_words
from flyte_ray.cluster.session import has_cluster
from flyte_ray.spec.ids import ROOT_ACTION, choose_run_name
from flyte_ray.spec.interface import Interface
from flyte_ray.spec.task import TaskSpec
from flyte_ray.types.references import place_of

_log: Final = logging.getLogger("flyte_ray")
_NO_INPUTS: Final = Interface((), None, is_async=False)


@click.command(
    # What stands behind RUN is not for click: its options may be the task's.
    context_settings={"allow_interspersed_args": False},
    short_help="Start a run anew from an earlier one.",
)
@common
@click.option("--local", is_flag=True, help="Run in this process, without Ray.")
@click.option("--name", help="The new run's name (default: made up).")
@click.option("-e", "--env", metavar="K=V", multiple=True, callback=pairs, help="A variable of all slots; repeatable.")
@click.option("--label", metavar="K=V", multiple=True, callback=pairs, help="Shown with the run; repeatable.")
@click.option("--detach", is_flag=True, help="Return when the run has started; it goes on in the cluster.")
@click.option("-f", "--follow", is_flag=True, help="Wait for the run's end: what is done without --detach.")
@click.option("--recover", is_flag=True, help="Take over what succeeded; run only what failed or never ran.")
@click.option("--action-name", default=ROOT_ACTION, help="Begin with this action, in place of the root.")
@click.option(
    "--force-rerun-action", metavar="ACTION", multiple=True, help="With --recover: run ACTION again; repeatable."
)
@click.option("--allow-missing-outputs", is_flag=True, help="With --recover: compute outputs again that are gone.")
@click.option("--pdb", "debugs", is_flag=True, help="With --local: stop in Python's debugger where the action fails.")
@click.option("--with-current-code", is_flag=True, help="Use today's code; what it has changed is not taken over.")
@click.argument("run", shell_complete=complete_runs)
@click.argument("words", metavar="[PARAMETERS]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def rerun(context: click.Context, /, run: str, words: tuple[str, ...], **options: Any) -> None:
    """Start RUN anew, with its own code and inputs, in a run of its own.

    PARAMETERS of its task (`--x 3`) replace recorded inputs; the others stay. Options may stand behind RUN; a name that
    is a parameter of the task belongs to the task there.
    """
    ours, _ = split_words(context.command, _NO_INPUTS, words)
    early = merge_late(context, run, dict(options), ours)
    prepare(early["root"], early["address"], early["verbose"], travels=not early["local"])
    source = find_source(current_store(), run, early["action_name"])
    mode: Mode = "local" if early["local"] or (source.spec["mode"], early["address"]) == ("local", None) else "remote"
    if mode == "local":  # this process is the slot
        os.environ.update({**(source.spec.get("env_vars") or {}), **early["env"]})
    declared = todays_tasks(source.spec, source.state, None) if early["with_current_code"] else None
    task = _task_of(source, declared)
    ours, theirs = split_words(context.command, task.interface if task else _NO_INPUTS, words)
    options = merge_late(context, run, options, ours)
    insist(options["root"], options["address"], None, options["verbose"])
    inputs = _read_inputs(source, task, theirs)
    plan = None
    try:
        forced, allow = options["force_rerun_action"], options["allow_missing_outputs"]
        check_request(options["action_name"], options["recover"], forced, allow_missing=allow)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if declared is not None:
        plan = plan_revision(source.state, action=source.action, inputs=inputs, declared=declared)
        if options["recover"]:
            show_plan(run, plan)
    root = plan.root if plan else task
    if options["debugs"]:
        _check_debugger(mode, root)
        stop_where_it_fails(root)
    _start(source, inputs, options, mode, root, plan)


def _check_debugger(mode: Mode, task: TaskSpec | None) -> None:
    if mode != "local":
        raise click.UsageError("--pdb needs the action in this process. Add --local.")
    if task is None:
        raise click.ClickException("--pdb needs the action's code, which cannot be imported here. -v says why.")


def _task_of(source: Source, declared: Mapping[str, TaskSpec] | None) -> TaskSpec | None:
    """Return the task that the run begins with, for the types of its inputs and outputs."""
    if declared is not None:
        return declared.get(source.ref.name)
    try:
        return load_recorded(current_store(), source)
    except Exception:  # whatever the user's file does here: without the task, values are plain JSON
        _log.info("the task of run %s cannot be imported here", source.run, exc_info=True)
        return None


def _read_inputs(source: Source, task: TaskSpec | None, words: list[str]) -> dict[str, Any]:
    if task is None:
        if words:
            raise click.UsageError(
                f"Inputs are read with the types of task '{source.ref.name}', which cannot be imported here. -v says"
                f" why; from Python pass them to flyte.rerun({source.run!r}, ...)."
            )
        return {}
    recorded = json.loads(source.inputs)
    parameters = (
        dataclasses.replace(item, has_default=True, default=place_of(recorded.get(item.name, item.default))[1])
        for item in task.interface.parameters
    )
    optional = dataclasses.replace(task.interface, parameters=tuple(parameters))
    return parse_parameters(optional, source.ref.name, words, task.docs, f"flyte-ray rerun {source.run}")


def _start(
    source: Source,
    inputs: dict[str, Any],
    options: dict[str, Any],
    mode: Mode,
    task: TaskSpec | None,
    plan: Plan | None,
) -> None:
    embedded = mode == "remote" and not has_cluster(settings.address)
    check_detached(options, mode, embedded=embedded)
    name = choose_run_name(options["name"], os.urandom)
    runner = Runner(mode=mode, name=name, env_vars=options["env"], labels=options["label"], lasting=not embedded)

    def start() -> Run:
        return runner.start_again(
            source,
            inputs,
            recover=options["recover"],
            forced=options["force_rerun_action"],
            allow_missing=options["allow_missing_outputs"],
            plan=plan,
        )

    run = Run(current_store(), name, TaskTemplate(task) if task else None)
    if options["debugs"]:  # whose prompt a live view would draw over
        start()
        if not report(current_store(), run, options["output"]).phase.has_succeeded:
            sys.exit(1)
        return
    launch(start, run, options, embedded=embedded)
