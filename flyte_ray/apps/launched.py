"""Start or continue a run on behalf of a server: `python -m flyte_ray.apps.launched FILE`, in a process of its own.

The code of the run is imported there, and in local mode executed there, so that a server stays as it is. FILE says
what is asked, see `Asked`; beside it lies afterwards what went wrong, if anything did.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flyte_ray.api.deployed import TaskDetails
from flyte_ray.api.rerunning import find_source, load_recorded
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Runner
from flyte_ray.api.settings import current_store, init, settings
from flyte_ray.apps.inputs import read_inputs
from flyte_ray.cluster.code import unpack_code
from flyte_ray.cluster.session import address_here, is_connected
from flyte_ray.ledger.tasks import load_deployed
from flyte_ray.runtime.user import acting_for
from flyte_ray.spec.ids import ROOT_ACTION

FAILURE: Final = ".failure"
"""Ends the name of the file that says what went wrong: `code` and `detail` as JSON."""


@dataclass(frozen=True)
class Asked:
    """What is asked, and by whom."""

    run: str
    """Which one is continued or begun anew from; empty where a deployed task is started."""
    by: str
    name: str | None = None
    """Of the new run; None continues `run` itself."""
    action: str = ROOT_ACTION
    recover: bool = False
    inputs: dict[str, Any] = dataclasses.field(default_factory=dict)
    """JSON by parameter, for a run that is begun anew in place of recorded inputs."""
    task: str = ""
    """The deployed task that is started."""
    version: str | None = None
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    root: str = ""
    address: str | None = None
    storage: str = ""
    """How stores are reached: this process's own settings, for nobody else."""

    def write(self, path: Path) -> None:
        """Write it for the process, with where this process has its root and its cluster."""
        here = {
            "root": current_store().uri,
            "address": address_here() if is_connected() else settings.address,
            "storage": base64.b64encode(pickle.dumps(settings.storage)).decode(),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps({**dataclasses.asdict(self), **here}))


def main(file: str) -> None:
    """Do what is asked; returns when the run is under way, in local mode when it has ended."""
    path = Path(file)
    asked = Asked(**json.loads(path.read_text()))
    path.unlink()
    init(asked.root, asked.address, pickle.loads(base64.b64decode(asked.storage)))
    try:
        with acting_for(asked.by):
            if asked.task:
                _start(asked)
            elif asked.name:
                _rerun(asked)
            else:
                Run.get(asked.run).resume()
    except Exception as error:
        told = {"code": getattr(error, "code", type(error).__name__), "detail": str(error)}
        path.with_suffix(FAILURE).write_text(json.dumps(told))
        raise


def _start(asked: Asked) -> None:
    store = current_store()
    record = load_deployed(store, asked.task, asked.version)
    unpack_code(store, record.code)  # its classes are those of its inputs
    task = TaskDetails(record)
    labels = {"started_by": asked.by, **asked.labels}
    Runner(name=asked.name, labels=labels).run(task, **read_inputs(task.interface, asked.inputs))


def _rerun(asked: Asked) -> None:
    inputs: dict[str, Any] = {}
    source = find_source(current_store(), asked.run, asked.action)
    if asked.inputs:
        interface = load_recorded(current_store(), source).interface
        optional = tuple(dataclasses.replace(item, has_default=True) for item in interface.parameters)
        inputs = read_inputs(dataclasses.replace(interface, parameters=optional), asked.inputs)
    mode = "local" if source.spec["mode"] == "local" else "remote"
    runner = Runner(mode=mode, name=asked.name, labels={"started_by": asked.by})  # type: ignore[arg-type]  # one of both
    runner.rerun(asked.run, asked.action, asked.recover, **inputs)


if __name__ == "__main__":
    main(sys.argv[1])
