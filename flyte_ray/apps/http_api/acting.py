"""Start, abort and answer runs. What changes something is recorded with on whose behalf."""

from __future__ import annotations

import os
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from flyte_ray.api.run import Run
from flyte_ray.api.runner import Runner
from flyte_ray.api.signalling import Condition
from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.http_api.asking import Abort, Answer, Signal, Start, acting, named, who
from flyte_ray.apps.inputs import read_inputs
from flyte_ray.errors import ObjectMissing
from flyte_ray.spec.condition import parse_value
from flyte_ray.spec.ids import make_run_name, validate_run_name


def acting_router(tasks: dict[str, TaskTemplate]) -> APIRouter:
    """Make the routes; only these tasks can be started."""
    router = APIRouter(prefix="/api", tags=["act"])

    @router.get("/tasks", tags=["read"])
    def list_tasks() -> list[dict[str, Any]]:
        """List the tasks that may be started, with the JSON schema of their inputs."""
        return [{"task": name, "inputs": task.json_schema} for name, task in tasks.items()]

    @router.post("/runs", status_code=201)
    def start(start: Start, request: Request) -> dict[str, str]:
        """Start a run; it is under way when this returns."""
        task = tasks.get(start.task)
        if task is None:
            refused = f"Task {start.task!r} may not be started here. Allowed are: {', '.join(tasks) or 'none'}."
            return JSONResponse({"detail": refused}, 403)  # type: ignore[return-value]
        name = validate_run_name(start.name) if start.name else make_run_name(os.urandom)
        runner = Runner(name=name, labels={"started_by": who(request), **start.labels})
        with acting(request):
            runner.run(task, **read_inputs(task.spec.interface, start.inputs))
        return {"run": name}

    router.add_api_route("/runs/{run}/abort", abort, methods=["POST"])
    router.add_api_route("/runs/{run}/signal", signal, methods=["POST"])
    router.add_api_route("/runs/{run}/conditions/{name}", answer, methods=["POST"])
    return router


def abort(run: str, abort: Abort, request: Request) -> dict[str, str]:
    """Abort a run, or one action with all below it."""
    with acting(request):
        Run.get(named(run)).abort_action(abort.action, abort.reason)
    return {"run": run, "action": abort.action}


def signal(run: str, signal: Signal, request: Request) -> dict[str, Any]:
    """Answer a condition; a second answer is refused with 409."""
    known = [each for each in Condition.listall(named(run)) if signal.name in (each.name, each.action_name)]
    if not known:
        raise ObjectMissing(run, f"Run {run!r} has no condition {signal.name!r}.")
    condition = next((each for each in known if each.phase == "paused"), known[0])
    value = signal.value
    if isinstance(value, str):
        value = parse_value(value, condition.expected_type)
    with acting(request):
        condition.signal(value)
    return {"run": run, "condition": condition.name, "value": value}


def answer(run: str, name: str, answer: Answer, request: Request) -> dict[str, Any]:
    """Answer a condition by its URI, which `{callback_uri}` in its webhook stands for."""
    return signal(run, Signal(name=name, value=answer.value), request)
