"""Read and change the apps of a root, and read its cache."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request

from flyte_ray.api.settings import current_store, settings
from flyte_ray.apps.http_api.app_history import sample
from flyte_ray.apps.http_api.asking import acting
from flyte_ray.apps.http_api.reading import folded_runs, run_list
from flyte_ray.apps.served import App, states
from flyte_ray.cluster.session import has_cluster, is_connected
from flyte_ray.cluster.totals import NAMES, read_totals
from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.amounts import amounts
from flyte_ray.ledger.apps import AppRecord, find_address, list_apps, load_app
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.query import list_kept
from flyte_ray.spec.app import APP_NAME
from flyte_ray.spec.phase import ActionPhase

MOST_KEPT: Final = 1000
"""Kept outcomes that are listed at most."""
MOST_RUNS: Final = 10
"""Active runs of which it is added up what they wait for."""


def serving_router() -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/api", tags=["apps"])
    router.add_api_route("/apps", get_apps, methods=["GET"])
    router.add_api_route("/apps/{name}", get_app, methods=["GET"])
    router.add_api_route("/apps/{name}/logs", get_app_logs, methods=["GET"])
    for change in (activate, deactivate, refresh):
        router.add_api_route(f"/apps/{{name}}/{change.__name__}", change, methods=["POST"])
    router.add_api_route("/cache", get_cache, methods=["GET"])
    router.add_api_route("/cluster", get_cluster, methods=["GET"])
    return router


def get_apps() -> list[dict[str, Any]]:
    """List the apps of the root; their status needs the cluster that serves them."""
    found = _states()
    return [_describe(record, found) for record in list_apps(current_store())]


def get_app(name: str) -> dict[str, Any]:
    """Describe an app, with its `history` since somebody began to look: replicas, requests per second, latency.

    Each row of it is `[at_us, replicas, requests per second, median ms, 95th percentile ms]`.
    """
    found = _describe(load_app(current_store(), _named(name)), _states())
    return {**found, "history": sample(name, found["replicas"].get("running", 0)) if is_connected() else []}


def get_app_logs(name: str) -> list[dict[str, Any]]:
    """Return the last lines of each replica that lives: `replica`, `node`, `text`."""
    return App.get(_named(name)).read_logs()


def activate(name: str, request: Request) -> dict[str, Any]:
    """Switch an app on; returns when it answers."""
    with acting(request):
        App.get(_named(name)).activate()
    return get_app(name)


def deactivate(name: str, request: Request) -> dict[str, Any]:
    """Switch an app off; returns when its replicas have ended."""
    with acting(request):
        App.get(_named(name)).deactivate()
    return get_app(name)


def refresh(name: str, request: Request) -> dict[str, Any]:
    """Have an app serve the newest outputs that its parameters name."""
    with acting(request):
        App.get(_named(name)).refresh()
    return get_app(name)


def get_cache(limit: Annotated[int, Query(ge=1, le=MOST_KEPT)] = 500) -> dict[str, Any]:
    """List kept outcomes, the newest first: `entries` with `key`, `task`, `version`, `run`, `action`, `created_us`."""
    kept = sorted(list_kept(current_store()).items(), key=lambda pair: -int(pair[1]["at_us"]))
    shown = ("task", "version", "run", "action")
    entries = [
        {"key": key, **{name: entry[name] for name in shown}, "created_us": entry["at_us"]}
        for key, entry in kept[:limit]
    ]
    return {"entries": entries}


def get_cluster() -> dict[str, Any] | None:
    """Return what the cluster has: `cpus`, `gpus`, `memory` (bytes) with `used`, `total` and `pending`, and `nodes`.

    Null where this server is connected to none. `pending` is what the queued actions of the newest active runs need.
    """
    if not is_connected():
        return None
    found, pending = read_totals(), _pending()
    return {name: {**about, "pending": pending[name]} if name in pending else about for name, about in found.items()}


def _pending() -> dict[str, float]:
    """Add up what queued actions need."""
    waiting = dict.fromkeys(NAMES, 0.0)
    active = [each.about["name"] for each in run_list().runs() if each.is_held]
    for run in active[:MOST_RUNS]:
        folded = folded_runs().get(run)
        with folded.lock:
            queued = Counter(each.task for each in folded.state.actions.values() if each.phase is ActionPhase.QUEUED)
            refs = {task: read_ref(folded.state.tasks[task]) for task in queued}
        for task, count in queued.items():
            needs = amounts(json.loads(refs[task].options or "{}"))
            for name, key in NAMES.items():
                waiting[name] += count * needs.get(key, 0)
    return waiting


def _named(app: str) -> str:
    """Refuse what is no app's name before it becomes a part of a path."""
    if not APP_NAME.fullmatch(app):
        raise ObjectMissing(app, f"There is no app {app!r}: an app's name is of lower-case letters, digits and '-'.")
    return app


def _states() -> dict[str, dict[str, Any]] | None:
    return states() if has_cluster(settings.address) else None


def _describe(record: AppRecord, states: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    state = (states or {}).get(record.name, {"status": "UNKNOWN" if states is None else "NOT_SERVED"})
    return {
        "name": record.name,
        "state": record.state,
        "status": state["status"],
        "message": state.get("message", ""),
        "replicas": {name.lower(): count for name, count in state.get("replicas", {}).items() if count},
        "revision": record.revision,
        "url": find_address(current_store(), record.name),
        "type": record.app["type"] or record.kind,
        "requires_auth": record.app["requires_auth"],
        "at_us": record.at_us,
        "by": record.by,
        "parameters": {
            name: {"value": about["value"], "run": about.get("run")} for name, about in record.parameters.items()
        },
    }
