"""The verb that continues runs: resume."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from flyte_ray.api.cutoff import await_turn
from flyte_ray.api.resuming import resume_run
from flyte_ray.api.revising import Plan, plan_revision
from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_pickling, current_store, settings
from flyte_ray.api.task import TaskTemplate
from flyte_ray.cli.completing import complete_runs
from flyte_ray.cli.following import follow, report, start_ray
from flyte_ray.cli.loading import load_tasks
from flyte_ray.cli.options import common, insist, prepare
from flyte_ray.cluster.bundle import find_base
from flyte_ray.cluster.code import unpack_code
from flyte_ray.cluster.session import has_cluster
from flyte_ray.ledger.lease import drop_claim
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.recovering import find_gone
from flyte_ray.ledger.state import RunState
from flyte_ray.runtime.catalog import load_task
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store


@click.command(short_help="Continue a run that was cut off, failed or was aborted.")
@common
@click.option("--local", is_flag=True, help="Continue in this process, whatever it ran on before.")
@click.option("--take-over", is_flag=True, help="Do not wait for the ledger that holds the run.")
@click.option("--with-current-code", is_flag=True, help="Use today's code; what it has changed runs again.")
@click.option("--keep", metavar="TASK", multiple=True, help="Keep what TASK did although it has changed; repeatable.")
@click.option("--again", metavar="TASK", multiple=True, help="Run TASK again although it is unchanged; repeatable.")
@click.option("--dry-run", is_flag=True, help="Only print what --with-current-code keeps.")
@click.option(
    "--root-dir",
    type=click.Path(exists=True, file_okay=False),
    help="The project's folder, from which today's code is imported (default: as when the run began).",
)
@click.argument("run", shell_complete=complete_runs)
def resume(run: str, root: str | None, address: str | None, output: str, verbose: bool, **options: Any) -> None:
    """Continue RUN under its name: what succeeded is kept, what failed, was aborted or cut off runs again.

    It goes on with the code it began with. --with-current-code takes today's in its place, and first prints what is
    kept and what runs again: tasks of which the function, or a function of the project that it calls, has changed.
    """
    chosen = [f"--{name.replace('_', '-')}" for name in ("keep", "again", "dry_run", "root_dir") if options[name]]
    if chosen and not options["with_current_code"]:
        raise click.UsageError(f"{chosen[0]} is for --with-current-code. Add that, or leave it out.")
    prepare(root, address, verbose, travels=not options["local"])
    spec = load_spec(current_store(), RunId(run))
    local = options["local"] or spec["mode"] == "local"
    if local:  # this process is the slot
        os.environ.update(spec.get("env_vars") or {})
    plan: Plan | None = None
    if options["with_current_code"]:
        state = load_state(current_store(), RunId(run))
        declared = todays_tasks(spec, state, options["root_dir"])
        insist(root, address, options["root_dir"], verbose)
        plan = plan_revision(state, keep=options["keep"], again=options["again"], declared=declared)
        show_plan(run, plan)
        if options["dry_run"]:
            return
    store = current_store()
    state = load_state(store, RunId(run))
    handle = Run(store, run, TaskTemplate(plan.root) if plan else _recorded_task(store, spec, state))
    if state.phase.has_succeeded and not (plan and plan.goes_on) and not find_gone(store, spec, state, None):
        click.echo(f"Run {run} has succeeded already: nothing to continue.", err=True)
        drop_claim(store, RunId(run))
        report(store, handle, output)
        return
    embedded = not local and not has_cluster(settings.address)

    def begin() -> None:
        if embedded:
            if not options["take_over"]:
                await_turn(store, RunId(run))
            start_ray(run)
        resume_run(store, RunId(run), local=local, take_over=options["take_over"], lasting=not embedded, plan=plan)

    follow(store, handle, begin, output)


def _recorded_task(store: Store, spec: dict[str, Any], state: RunState) -> TaskTemplate | None:
    """Return the root's task in the run's own code, for the types of its outputs."""
    if not state.actions:
        return None
    try:
        unpack_code(store, state.code or spec["code"])
        return TaskTemplate(load_task(read_ref(state.tasks[state.root.task]), current_pickling()))
    except Exception:  # whatever the user's file does here: without the task, outputs are shown as plain JSON
        return None


def todays_tasks(spec: Mapping[str, Any], state: RunState, root_dir: str | None) -> Mapping[str, TaskSpec]:
    """Import the run's file as it is now, and return its tasks by name."""
    file = Path(spec["source"])
    if not file.is_file():
        raise click.UsageError(
            f"--with-current-code needs the file that the run was started from, {file}, which is not there. Continue it"
            f" from Python where its tasks are declared: flyte.remote.Run.get({state.id!r}).resume(...)."
        )
    # Under the name that it had, else its functions would be others.
    parts = read_ref(state.tasks[state.root.task]).module.split(".") if state.actions else [file.stem]
    is_below = file.with_suffix("").parts[-len(parts) :] == tuple(parts)
    is_inside = len(parts) > 1 or find_base(file) != file.parent
    top = str(file.parents[len(parts) - 1]) if is_below and is_inside else None
    tasks = load_tasks(str(file), root_dir or top)
    # A task and its overrides have one name: the one that stands under its function's name is meant.
    last = sorted(tasks, key=lambda name: name == tasks[name].spec.func.__name__)
    return {tasks[name].name: tasks[name].spec for name in last}


def show_plan(run: str, plan: Plan) -> None:
    """Print what becomes of a run's actions, on stderr."""
    click.echo(f"With today's code, of run {run}:", err=True)
    names = max(len(judged.task) for judged in plan.judged)
    counts = max(len(f"{judged.count:,}") for judged in plan.judged)
    for judged in plan.judged:
        verdict = "again" if judged.again else "keep "
        line = f"  {verdict}  {judged.count:>{counts},}  {judged.task:<{names}}  {judged.why}"
        click.echo(line.rstrip(), err=True)
