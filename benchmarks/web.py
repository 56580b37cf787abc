"""The app that `apps.py` measures, in the ways in which it can be served."""

from __future__ import annotations

import os
import sys

from fastapi import FastAPI

import flyte_ray as flyte
from flyte_ray.app import AppEnvironment, Scaling
from flyte_ray.app.extras import FastAPIAppEnvironment

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """Answer."""
    return {"hello": "world"}


pid = FastAPI()


@pid.get("/")
async def tell() -> int:
    """Say which process answers."""
    return os.getpid()


SMALL = flyte.Resources(cpu=0.2)
in_replica = FastAPIAppEnvironment("ours", app=app, resources=SMALL, requires_auth=False, scaling=Scaling(1))
with_token = FastAPIAppEnvironment("guarded", app=app, resources=SMALL, scaling=Scaling(1))
in_command = AppEnvironment(
    "command",
    command=[sys.executable, "-m", "uvicorn", "benchmarks.web:app", "--port", "{port}", "--log-level", "warning"],
    resources=SMALL,
    requires_auth=False,
    scaling=Scaling(1),
)
from_zero = FastAPIAppEnvironment(
    "zero", app=app, resources=SMALL, requires_auth=False, scaling=Scaling((0, 1), scaledown_after=1)
)
steady = FastAPIAppEnvironment("steady", app=pid, resources=SMALL, requires_auth=False, scaling=Scaling(2))
