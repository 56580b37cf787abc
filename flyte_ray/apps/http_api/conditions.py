"""Read the conditions of a run, and answer them."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request

from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store
from flyte_ray.api.signalling import Condition
from flyte_ray.apps.http_api.asking import Answer, Signal, acting, named
from flyte_ray.apps.http_api.reading import folded_runs
from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.detail import texts_of
from flyte_ray.ledger.folded import FoldedRun
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.condition import parse_value


def conditions_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/api/runs/{run}", tags=["conditions"])
    router.add_api_route("/conditions", list_conditions, methods=["GET"])
    router.add_api_route("/conditions/{name}", answer, methods=["POST"])
    router.add_api_route("/signal", signal, methods=["POST"])
    return router


def list_conditions(run: str) -> list[dict[str, Any]]:
    """List the conditions of a run: `paused` ones wait for a signal."""
    return [each.to_dict() for each in _conditions(run)]


def signal(run: str, signal: Signal, request: Request) -> dict[str, Any]:
    """Answer a condition; a second answer is refused with 409."""
    known = [each for each in _conditions(run) if signal.name in (each.name, each.action_name)]
    if not known:
        raise ObjectMissing(run, f"Run {run!r} has no condition {signal.name!r}.")
    condition = next((each for each in known if each.phase == "paused"), known[0])
    value = signal.value
    if isinstance(value, str):
        value = parse_value(value, condition.expected_type)
    with acting(request):
        condition.signal(value)
    folded_runs().expire(run)
    return {"run": run, "condition": condition.name, "value": value}


def answer(run: str, name: str, answer: Answer, request: Request) -> dict[str, Any]:
    """Answer a condition by its URI, which `{callback_uri}` in its webhook stands for."""
    return signal(run, Signal(name=name, value=answer.value), request)


def condition_ids(run: FoldedRun, parent: str | None = None) -> list[str]:
    """Name the conditions of a run; with `parent` those that this action made, and itself if it is one."""
    with run.lock:
        keys = {key for key, body in run.state.tasks.items() if read_ref(body).is_condition}
        if not keys:
            return []
        actions = run.state.actions.values()
        return [each.id for each in actions if each.task in keys and parent in (None, each.id, each.parent)]


def _conditions(run: str) -> list[Condition]:
    """Read each condition's own part of the record, and not the whole, which may be long."""
    folded, handle = folded_runs().get(named(run)), Run(current_store(), run)
    return [Condition(handle, _whole(folded, each)) for each in condition_ids(folded)]


def _whole(run: FoldedRun, action: str) -> ActionState:
    texts = texts_of(run.read_events(action))
    with run.lock:
        return dataclasses.replace(run.state.actions[action], inputs=texts.inputs or "{}", result=texts.result)
