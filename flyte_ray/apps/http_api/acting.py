"""Start, abort, continue and rerun runs. What changes something is recorded with on whose behalf."""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from flyte_ray.api.rerunning import check_request
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Runner
from flyte_ray.api.settings import current_store
from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.http_api.asking import Abort, Rerun, Start, acting, named, plain_name, who
from flyte_ray.apps.http_api.launching import launch
from flyte_ray.apps.http_api.reading import folded_runs
from flyte_ray.apps.inputs import read_inputs
from flyte_ray.apps.launched import Asked
from flyte_ray.errors import RunAlreadyExistsError, RuntimeUserError
from flyte_ray.ledger.cutoff import hold_of
from flyte_ray.ledger.overview import pick_action
from flyte_ray.ledger.paths import spec_key
from flyte_ray.ledger.tasks import load_deployed
from flyte_ray.spec.ids import RunId, choose_run_name
from flyte_ray.storage import Store


def acting_router(tasks: dict[str, TaskTemplate], *, deployed: bool = False) -> APIRouter:
    """Make the routes; only these tasks can be started, and with `deployed` those on record."""
    router = APIRouter(prefix="/api", tags=["act"])

    @router.get("/tasks", tags=["read"])
    def list_tasks() -> list[dict[str, Any]]:
        """List the tasks that may be started, with the JSON schema of their inputs."""
        return [{"task": name, "inputs": task.json_schema} for name, task in tasks.items()]

    @router.post("/runs", status_code=201)
    def start(start: Start, request: Request) -> dict[str, str]:
        """Start a run; it is under way when this returns.

        A deployed task runs in a process of the server, in local mode until its end: it ends with the server then.
        """
        task = None if start.version else tasks.get(start.task)
        if task is None and deployed:
            return {"run": _start_deployed(start, who(request))}
        if task is None:
            wanted = f"{start.task!r} in version {start.version!r}" if start.version else f"{start.task!r}"
            refused = f"Task {wanted} may not be started here. Allowed are: {', '.join(tasks) or 'none'}."
            return JSONResponse({"detail": refused}, 403)  # type: ignore[return-value]
        name = choose_run_name(start.name or None, os.urandom)
        runner = Runner(name=name, labels={"started_by": who(request), **start.labels})
        with acting(request):
            runner.run(task, **read_inputs(task.spec.interface, start.inputs))
        return {"run": name}

    router.add_api_route("/runs/{run}/abort", abort, methods=["POST"])
    router.add_api_route("/runs/{run}/resume", resume, methods=["POST"])
    router.add_api_route("/runs/{run}/rerun", rerun, methods=["POST"], status_code=201)
    return router


def _start_deployed(start: Start, by: str) -> str:
    """Start a deployed task; returns the run's name."""
    store = current_store()
    load_deployed(store, plain_name(start.task), start.version)
    name = _free_name(store, start.name)
    asked = Asked("", by, name, inputs=start.inputs, task=start.task, version=start.version, labels=start.labels)
    launch(asked, lambda: store.exists(spec_key(name)))
    return name


def _free_name(store: Store, wanted: str | None) -> RunId:
    name = choose_run_name(wanted or None, os.urandom)
    if store.exists(spec_key(name)):
        raise RunAlreadyExistsError(f"A new run needs a name of its own, but there is a run {name!r}. Choose another.")
    return name


def abort(run: str, abort: Abort, request: Request) -> dict[str, str]:
    """Abort a run, or one action with all below it."""
    with acting(request):
        Run.get(named(run)).abort_action(abort.action, abort.reason)
    folded_runs().expire(run)
    return {"run": run, "action": abort.action}


def resume(run: str, request: Request) -> dict[str, str]:
    """Continue a run that was cut off, failed or was aborted; it is under way when this returns."""
    store, name = current_store(), RunId(named(run))
    state = folded_runs().get(run).state
    if state.phase.has_succeeded:
        raise RuntimeUserError("NotResumed", f"Run {run!r} has succeeded: there is nothing to continue. Rerun it.")
    _refuse_if_held(store, name)
    began, resumes = bool(state.actions), state.resumes

    def is_under_way() -> bool:
        # That a run is continued is on record; one that was cut off before it began begins.
        return folded_runs().get(run).state.resumes > resumes if began else not hold_of(store, name).is_cut_off

    launch(Asked(run, who(request)), is_under_way)
    folded_runs().expire(run)
    return {"run": run}


def _refuse_if_held(store: Store, run: RunId) -> None:
    hold = hold_of(store, run)
    if hold.holder is not None and not hold.is_cut_off:
        raise RuntimeUserError("NotResumed", f"Run {run!r} is under way: {hold.holder} holds it. Nothing was changed.")


def rerun(run: str, rerun: Rerun, request: Request) -> dict[str, str]:
    """Start a run anew, with its own code; the new one is under way when this returns.

    Its code runs in a process of the server, in local mode until its end: it ends with the server then.
    """
    store = current_store()
    check_request(rerun.action, rerun.recover, None, allow_missing=False)
    folded = folded_runs().get(named(run))
    pick_action(folded.state.actions, run, rerun.action)
    name = _free_name(store, rerun.name)
    asked = Asked(run, who(request), name, rerun.action, rerun.recover, rerun.inputs)
    launch(asked, lambda: store.exists(spec_key(name)))
    return {"run": name}
