"""The HTTP API: start, watch, signal and abort runs, and read what a root holds. There is no second one.

A FastAPI app with OpenAPI at `/openapi.json`. Reading asks for the scope `api:read`, all else for `api:write`.

Invariants: only tasks that are named in it can be started; nothing that a client sends is unpickled or read from the
server's disk; what changes something is recorded with the name of the token.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from flyte_ray.api.run import Run
from flyte_ray.api.runner import Runner
from flyte_ray.api.settings import current_store
from flyte_ray.api.signalling import Condition
from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.bounds import Bounded
from flyte_ray.apps.http_api.reading import folded_runs
from flyte_ray.apps.inputs import read_inputs
from flyte_ray.errors import (
    ActionNotFoundError,
    BaseRuntimeError,
    DeclarationError,
    ObjectMissing,
    RunAlreadyExistsError,
    RunNotFoundError,
    StoreError,
)
from flyte_ray.ledger.apps import AppRecord, find_address, list_apps
from flyte_ray.ledger.overview import (
    describe_action,
    describe_failure,
    describe_run,
    describe_runs,
    describe_step,
    describe_values,
    load_actions,
    pick_action,
)
from flyte_ray.ledger.query import load_past
from flyte_ray.ledger.tree import tree_json
from flyte_ray.runtime.user import acting_for
from flyte_ray.spec.condition import parse_value
from flyte_ray.spec.ids import ROOT_ACTION, RunId, make_run_name, validate_run_name
from flyte_ray.spec.version import VERSION

MOST_BYTES: Final = 10 * 1024 * 1024
"""Largest body of a request."""
MOST_RUNS: Final = 1000
BEAT_S: Final = 15.0
"""Time between two signs of life of a stream in which nothing happens, so that proxies keep it open."""
_STATUS: Final = {
    RunNotFoundError: 404,
    ActionNotFoundError: 404,
    ObjectMissing: 404,
    RunAlreadyExistsError: 409,
    StoreError: 503,
}
"""Statuses of errors; of all others of ours 400, and 409 of those that say how things stand."""


class Start(BaseModel):
    """What a run is started with."""

    task: str = Field(description="Qualified name of an allowed task, such as `env.function`.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Its arguments, as JSON, by parameter.")
    name: str | None = Field(default=None, description="The run's name, unique in the root; made up if left out.")
    labels: dict[str, str] = Field(default_factory=dict)


class Abort(BaseModel):
    """Why a run is aborted."""

    reason: str = "aborted by the HTTP API"
    action: str = Field(default=ROOT_ACTION, description="The action to abort with all below it; the run by default.")


class Answer(BaseModel):
    """What a condition is answered with."""

    value: Any = Field(description="Of the condition's type.")


class Signal(Answer):
    """Which condition is answered with what."""

    name: str = Field(description="The condition's name, or its id.")


def build_api(tasks: Sequence[TaskTemplate] = (), extend: Callable[[FastAPI], None] | None = None) -> Any:
    """Build the API, an ASGI app.

    Args:
        tasks: Those that may be started; none by default.
        extend: Puts more on it, such as the console's pages.

    """
    api = FastAPI(title="flyte-ray", version=VERSION, description="Runs, their actions, values and logs.")
    if extend is not None:
        extend(api)
    api.include_router(_reading())
    api.include_router(_acting({task.name: task for task in tasks}))
    for kind in (BaseRuntimeError, ActionNotFoundError, DeclarationError, ObjectMissing, TypeError, ValueError):
        api.add_exception_handler(kind, _refuse)
    return Bounded(api, MOST_BYTES)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    known = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)
    late = 409 if getattr(error, "code", "") in ("NotAborted", "NotSignalled") else 400
    return JSONResponse({"detail": str(error)}, known or late)


def _reading() -> APIRouter:
    router = APIRouter(prefix="/api", tags=["read"])

    @router.get("/runs")
    def list_runs(
        limit: Annotated[int, Query(ge=1, le=MOST_RUNS)] = 100,
        phase: Annotated[list[str], Query()] = [],  # noqa: B006  # FastAPI's way to say that there may be none
        task: str | None = None,
    ) -> list[dict[str, Any]]:
        """List runs, the newest first."""
        return describe_runs(current_store(), limit, phases=phase, task=task)

    @router.get("/runs/{run}")
    def get_run(run: str) -> dict[str, Any]:
        """Describe a run."""
        return describe_run(current_store(), _named(run))

    @router.get("/runs/{run}/table", response_class=Response)
    def get_table(run: str) -> Response:
        """Return a run's whole tree of actions as columns."""
        return Response(tree_json(folded_runs().get(_named(run))), media_type="application/json")

    @router.get("/runs/{run}/actions")
    def list_actions(run: str) -> list[dict[str, Any]]:
        """List the actions of a run in the order of their calls."""
        return [describe_action(item) for item in load_actions(current_store(), _named(run)).values()]

    @router.get("/runs/{run}/actions/{action}")
    def get_action(run: str, action: str) -> dict[str, Any]:
        """Describe an action with its inputs, its result, its steps and why attempts failed."""
        store = current_store()
        item = pick_action(load_actions(store, _named(run)), run, action)
        steps, failures = load_past(store, RunId(run), action)
        past = {"steps": list(map(describe_step, steps)), "failures": list(map(describe_failure, failures))}
        return {**describe_action(item), **describe_values(item), **past}

    @router.get("/runs/{run}/actions/{action}/logs", response_class=PlainTextResponse)
    def get_logs(run: str, action: str, attempt: int | None = None, timestamps: bool = False) -> str:
        """Return what the attempts of an action printed, as far as it is stored."""
        pick_action(load_actions(current_store(), _named(run)), run, action)
        return Run.get(run).read_log(action, attempt, show_ts=timestamps)

    @router.get("/runs/{run}/conditions")
    def list_conditions(run: str) -> list[dict[str, Any]]:
        """List the conditions of a run: `paused` ones wait for a signal."""
        return [each.to_dict() for each in Condition.listall(_named(run))]

    @router.get("/runs/{run}/events", response_class=StreamingResponse)
    def watch(run: str) -> StreamingResponse:
        """Follow a run as server-sent events until it has ended: each has all that a live view shows."""
        found = Run.get(_named(run))
        return StreamingResponse(_events(found), media_type="text/event-stream", headers={"cache-control": "no-store"})

    @router.get("/apps")
    def get_apps() -> list[dict[str, Any]]:
        """List the apps of the root."""
        store = current_store()
        return [_describe_app(record, find_address(store, record.name)) for record in list_apps(store)]

    return router


def _describe_app(record: AppRecord, url: str) -> dict[str, Any]:
    return {
        "name": record.name,
        "state": record.state,
        "revision": record.revision,
        "url": url,
        "requires_auth": record.app["requires_auth"],
        "parameters": {name: about.get("run") or about["value"] for name, about in record.parameters.items()},
    }


def _acting(tasks: dict[str, TaskTemplate]) -> APIRouter:
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
        runner = Runner(name=name, labels={"started_by": _by(request), **start.labels})
        with acting_for(_by(request)):
            runner.run(task, **read_inputs(task.spec.interface, start.inputs))
        return {"run": name}

    @router.post("/runs/{run}/abort")
    def abort(run: str, abort: Abort, request: Request) -> dict[str, str]:
        """Abort a run, or one action with all below it."""
        with acting_for(_by(request)):
            Run.get(_named(run)).abort_action(abort.action, abort.reason)
        return {"run": run, "action": abort.action}

    @router.post("/runs/{run}/signal")
    def signal(run: str, signal: Signal, request: Request) -> dict[str, Any]:
        """Answer a condition; a second answer is refused with 409."""
        named = [each for each in Condition.listall(_named(run)) if signal.name in (each.name, each.action_name)]
        if not named:
            raise ObjectMissing(run, f"Run {run!r} has no condition {signal.name!r}.")
        condition = next((each for each in named if each.phase == "paused"), named[0])
        value = signal.value
        if isinstance(value, str):
            value = parse_value(value, condition.expected_type)
        with acting_for(_by(request)):
            condition.signal(value)
        return {"run": run, "condition": condition.name, "value": value}

    @router.post("/runs/{run}/conditions/{name}")
    def answer(run: str, name: str, answer: Answer, request: Request) -> dict[str, Any]:
        """Answer a condition by its URI, which `{callback_uri}` in its webhook stands for."""
        return signal(run, Signal(name=name, value=answer.value), request)

    return router


def _named(run: str) -> str:
    """Refuse what is no run's name before it becomes a part of a path."""
    return validate_run_name(run)


def _by(request: Request) -> str:
    return f"{request.scope.get('flyte_ray.token', 'http')}@http"


async def _events(run: Run) -> AsyncIterator[str]:
    steps = run.watch()
    last = None
    while True:
        step = asyncio.ensure_future(asyncio.to_thread(next, steps, None))
        while not (await asyncio.wait((step,), timeout=BEAT_S))[0]:
            yield ": still here\n\n"
        live = step.result()
        if live is None:
            break
        text = json.dumps(live, default=str)
        if text != last:
            yield f"event: run\ndata: {text}\n\n"
        last = text
    described = await asyncio.to_thread(describe_run, current_store(), run.name)
    yield f"event: end\ndata: {json.dumps(described)}\n\n"
