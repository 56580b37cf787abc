"""Run the server function of an app in a process of its own: `python -m flyte_ray.apps.server_process FILE`.

FILE says which app: `reference`, `name` and `raw_data_path` as in its record. `PORT` says where it is to listen.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from flyte_ray.apps import context
from flyte_ray.apps.functions import run_server
from flyte_ray.apps.reference import load
from flyte_ray.spec.app import Port


def main(file: str) -> None:
    """Run until the function returns, or the process is asked to end."""
    about = json.loads(Path(file).read_text())
    # Below a replica, whose variables and path it has.
    env = load(about["reference"], about["name"])
    env.assigned_port = Port(int(os.environ["PORT"]))
    parameters = json.loads(os.environ.get(context.PARAMETERS_VAR, "{}"))
    here = context.AppContext("remote", raw_data_path=about["raw_data_path"])
    context.serve_alone(context.Given(env.name, here, parameters))
    signal.signal(signal.SIGTERM, _leave)
    try:
        run_server(env, parameters, _leave_by_cancelling)
    except asyncio.CancelledError:
        return


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(0)


def _leave_by_cancelling(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    loop.add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    main(sys.argv[1])
