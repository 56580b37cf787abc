"""The HTTP API: start, watch, signal and abort runs, and read what a root holds. There is no second one.

A FastAPI app with OpenAPI at `/openapi.json`. Reading asks for the scope `api:read`, all else for `api:write`.

Invariants: only tasks that are named in it can be started, deployed ones where it says so, and runs on record anew,
with their code; nothing that a client sends is unpickled or read from the server's disk, and nothing on record is
unpickled in the server; what changes something is recorded with the name of the token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.bounds import Bounded
from flyte_ray.apps.http_api.acting import acting_router
from flyte_ray.apps.http_api.actions import actions_router
from flyte_ray.apps.http_api.conditions import conditions_router
from flyte_ray.apps.http_api.deployed import deployed_router
from flyte_ray.apps.http_api.runs import runs_router
from flyte_ray.apps.http_api.serving import serving_router
from flyte_ray.apps.http_api.values import values_router
from flyte_ray.errors import (
    ActionNotFoundError,
    BaseRuntimeError,
    ClusterError,
    DeclarationError,
    ObjectMissing,
    RemoteTaskNotFoundError,
    RunAlreadyExistsError,
    RunFencedError,
    RunNotFoundError,
    StoreError,
)
from flyte_ray.spec.version import VERSION

MOST_BYTES: Final = 10 * 1024 * 1024
"""Largest body of a request."""
_STATUS: Final = {
    RunNotFoundError: 404,
    ActionNotFoundError: 404,
    ObjectMissing: 404,
    RemoteTaskNotFoundError: 404,
    RunAlreadyExistsError: 409,
    RunFencedError: 409,
    ClusterError: 409,
    StoreError: 503,
}
"""Statuses of errors; of all others of ours 400, and 409 of those that say how things stand."""
_OURS: Final = (
    *(BaseRuntimeError, ActionNotFoundError, DeclarationError, ObjectMissing, StoreError),
    *(RunFencedError, ClusterError),
    *(TypeError, ValueError),
)
_LATE: Final = ("NotAborted", "NotSignalled", "NotResumed", "NotStarted", "DeploymentError", "ClusterError")


def build_api(
    tasks: Sequence[TaskTemplate] = (),
    extend: Callable[[FastAPI], None] | None = None,
    *,
    docs: bool = True,
    deployed: bool = False,
) -> Any:
    """Build the API, an ASGI app.

    Args:
        tasks: Those that may be started; none by default.
        extend: Puts more on it, such as the console's pages.
        docs: Show its description under `/docs`, for which a browser loads scripts from elsewhere.
        deployed: Deployed tasks may be started, too.

    """
    shown: dict[str, Any] = {} if docs else {"docs_url": None, "redoc_url": None}
    about = "Runs, their actions, values and logs."
    api = FastAPI(title="flyte-ray", version=VERSION, description=about, **shown)
    allowed = {task.name: task for task in tasks}
    reading = (runs_router(allowed), actions_router(), values_router(), conditions_router())
    for router in (*reading, acting_router(allowed, deployed=deployed), deployed_router(), serving_router()):
        api.include_router(router)
    for kind in (
        BaseRuntimeError,
        ActionNotFoundError,
        DeclarationError,
        ObjectMissing,
        StoreError,
        TypeError,
        ValueError,
    ):
        api.add_exception_handler(kind, _refuse)
    if extend is not None:
        extend(api)
    return Bounded(api, MOST_BYTES)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    known = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), None)
    late = 409 if getattr(error, "code", "") in _LATE else 400
    return JSONResponse({"detail": str(error)}, known or late)
