"""Read deployed tasks and triggers, start the former and switch the latter."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request

from flyte_ray.api.remote_trigger import Trigger
from flyte_ray.api.settings import current_store, settings
from flyte_ray.apps.http_api.asking import acting, plain_name
from flyte_ray.cluster.session import has_cluster
from flyte_ray.ledger.deployed import describe_task, describe_trigger, describe_versions
from flyte_ray.ledger.tasks import list_deployed, list_versions
from flyte_ray.ledger.triggers import TriggerRecord, list_triggers, load_fired, load_trigger

MOST_FIRES: Final = 20
_READERS: Final = 16


def deployed_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/api", tags=["deployed"])
    router.add_api_route("/deployed", get_deployed, methods=["GET"])
    router.add_api_route("/deployed/{task}", get_versions, methods=["GET"])
    router.add_api_route("/triggers", get_triggers, methods=["GET"])
    for change in (activate, deactivate):
        router.add_api_route(f"/triggers/{{task}}/{{name}}/{change.__name__}", change, methods=["POST"])
    return router


def get_deployed() -> list[dict[str, Any]]:
    """List the deployed tasks in their latest versions, by name; see `flyte-ray get task`."""
    return [describe_task(record) for record in list_deployed(current_store())]


def get_versions(task: str) -> list[dict[str, Any]]:
    """List the versions of a deployed task, the newest first.

    Each says what of the interface it `changed`, and has in `inputs` the JSON schema of a run's inputs.
    """
    records = list_versions(current_store(), plain_name(task))
    pairs = zip(records, describe_versions(records), strict=True)
    return [{**about, "inputs": record.interface["schema"]} for record, about in pairs]


def get_triggers(task: str | None = None, fires: Annotated[int, Query(ge=1, le=MOST_FIRES)] = 5) -> dict[str, Any]:
    """List the `triggers` of the root, or of a task, each with its next `fires`.

    `are_fired` says whether this server knows of a cluster, whose ledger fires them.
    """
    store = current_store()
    records = list_triggers(store, None if task is None else plain_name(task))
    with ThreadPoolExecutor(_READERS, "flyte-ray-triggers") as pool:
        fired = list(pool.map(lambda record: load_fired(store, record.task, record.name), records))
    now_us = time.time_ns() // 1000
    found = [describe_trigger(record, done, now_us, fires) for record, done in zip(records, fired, strict=True)]
    return {"triggers": found, "are_fired": has_cluster(settings.address)}


def activate(task: str, name: str, request: Request) -> dict[str, Any]:
    """Have a trigger fire from now on; a ledger hears of it within seconds."""
    return _switch(task, name, request, active=True)


def deactivate(task: str, name: str, request: Request) -> dict[str, Any]:
    """Have a trigger fire no more."""
    return _switch(task, name, request, active=False)


def _switch(task: str, name: str, request: Request, *, active: bool) -> dict[str, Any]:
    with acting(request):
        Trigger.update(plain_name(name), plain_name(task), active)
    return _describe(load_trigger(current_store(), task, name))


def _describe(record: TriggerRecord) -> dict[str, Any]:
    fired = load_fired(current_store(), record.task, record.name)
    return describe_trigger(record, fired, time.time_ns() // 1000, 5)
