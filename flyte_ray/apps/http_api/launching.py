"""Have runs started or continued in processes of their own, and say when they are under way."""

from __future__ import annotations

import atexit
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flyte_ray.apps.launched import FAILURE, Asked
from flyte_ray.errors import RuntimeUserError

START_S: Final = 120.0
"""How long a run may take to be under way, with all that its code imports."""
_LOOK_S: Final = 0.1
_END_S: Final = 5.0
_processes: Final[list[subprocess.Popen[bytes]]] = []


def launch(asked: Asked, is_under_way: Callable[[], bool]) -> None:
    """Do what is asked in a process that ends with this one; returns when the run is under way.

    Raises:
        RuntimeUserError: That does not come about, and why.

    """
    with tempfile.TemporaryDirectory(prefix="flyte-ray-asked-") as folder:
        file = Path(folder) / "asked.json"
        asked.write(file)
        with (Path(folder) / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "flyte_ray.apps.launched", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        _keep(process)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            # In this order: what has ended well may have been under way only briefly.
            code = process.poll()
            if is_under_way() or code == 0:
                return
            if code is not None:
                raise _error_of(file.with_suffix(FAILURE), Path(folder) / "said")
            time.sleep(_LOOK_S)
    process.terminate()
    raise RuntimeUserError("NotStarted", f"The run should be under way within {START_S:.0f} s, but is not. Try again.")


def _error_of(failure: Path, said: Path) -> RuntimeUserError:
    if failure.exists():
        told = json.loads(failure.read_text())
        return RuntimeUserError(told["code"], told["detail"])
    lines = said.read_text(errors="replace").splitlines()
    return RuntimeUserError(
        "NotStarted", f"The run could not be started: {lines[-1] if lines else 'its process ended'}"
    )


def _keep(process: subprocess.Popen[bytes]) -> None:
    if not _processes:
        atexit.register(_end_all)
    _processes[:] = [each for each in _processes if each.poll() is None] + [process]


def _end_all() -> None:
    """Interrupt what runs, as Ctrl-C does: what was done is on record, and the run can be continued."""
    alive = [each for each in _processes if each.poll() is None]
    for each in alive:
        each.send_signal(signal.SIGINT)
    until = time.monotonic() + _END_S
    for each in alive:
        try:
            each.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.kill()
