"""Start a Ray on this machine that stays when its starter has gone, and end what was started so.

Invariants: it listens on 127.0.0.1 alone; one of them per user; only processes of the group that was started are ended,
and only while its first one is the very process that is on record.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from flyte_ray.cluster.bootstrap import of_no_worker
from flyte_ray.cluster.installing import ONE_TRY
from flyte_ray.errors import ClusterError
from flyte_ray.ledger.origin import has_ended, is_running, name_process

LOOPBACK: Final = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
"""Has Ray take 127.0.0.1 for the node's address, as it does on macOS: else it looks for one that others reach, and
listens on all of them."""
RECORD: Final = "~/.flyte-ray/up.json"
HOST: Final = "127.0.0.1"
START_S: Final = 90.0
POLITE_S: Final = 5.0
"""How long Ray may take to end by itself: it would wait half a minute for actors that stay."""
LOG: Final = "~/.flyte-ray/up.log"


def find_lasting() -> dict[str, Any] | None:
    """Return what is on record of the Ray that runs: `address`, `dashboard`, `processes`; None if none does."""
    try:
        record: dict[str, Any] = json.loads(_path(RECORD).read_text())
        first = record["processes"][0]
    except (OSError, ValueError, LookupError):
        return None
    return None if has_ended(first["began"], first["pid"]) else record


def is_lasting(address: str) -> bool:
    """Whether the Ray at an address is the one that `start_lasting` has started."""
    record = find_lasting()
    return record is not None and record["address"] == address


def start_lasting(port: int, cpus: int | None, others: Mapping[str, Callable[[str], list[str]]]) -> dict[str, Any]:
    """Start one; what this returns is then on record.

    Args:
        port: Where its head listens; 0 takes a free one.
        cpus: How many it has; None counts this machine's.
        others: What else is to stay as long, by a name for it: a function of the address that returns the command.

    Raises:
        ClusterError: One runs already, the port is taken, or it does not start.

    """
    if (there := find_lasting()) is not None:
        raise ClusterError(f"A Ray of 'flyte-ray up' runs already, at {there['address']}. End it: flyte-ray down.")
    address = f"{HOST}:{_free(port)}"
    dashboard = _free(0)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--node-ip-address={HOST}"]
    command += [f"--port={address.rpartition(':')[2]}", f"--dashboard-host={HOST}", f"--dashboard-port={dashboard}"]
    command += [f"--ray-client-server-port={_free(0)}", f"--dashboard-agent-listen-port={_free(0)}"]
    # In Ray's usual folder it would leave its address to each `ray.init()` of this machine, which would join it
    # unasked, and hang when it has ended. Short, because sockets lie below it.
    folder = tempfile.mkdtemp(prefix="fr-up-", dir=os.environ.get("RAY_TMPDIR") or "/tmp")
    command += [f"--temp-dir={folder}"]
    command += ["--disable-usage-stats", *([f"--num-cpus={cpus}"] if cpus else [])]
    log = _path(LOG)
    log.parent.mkdir(parents=True, exist_ok=True)
    process = _start(command, log, "w")
    record: dict[str, Any] = {"address": address, "dashboard": f"{HOST}:{dashboard}", "folder": folder}
    record["processes"] = [_named("ray", process.pid)]
    try:
        _await_start(process, log)
        for name, command_at in others.items():
            record["processes"].append(_named(name, _start(command_at(address), log, "a").pid))
        _path(RECORD).write_text(json.dumps(record))
    except BaseException:
        _end(record["processes"])
        raise
    return record


def end_lasting() -> dict[str, Any] | None:
    """End what `start_lasting` has started, and return its record; None if nothing runs."""
    record = find_lasting()
    if record is not None:
        _end(record["processes"])
        shutil.rmtree(record["folder"], ignore_errors=True)
    _path(RECORD).unlink(missing_ok=True)
    return record


def _await_start(process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while "Ray runtime started" not in (said := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > until:
            last = next((line for line in reversed(said.splitlines()) if line.strip()), "nothing")
            raise ClusterError(f"A Ray should start on this machine, but says: {last.strip()}. All of it: {log}.")
        time.sleep(0.1)


def _start(command: list[str], log: Path, mode: str) -> subprocess.Popen[bytes]:
    # Its own session: neither Ctrl-C nor the end of this terminal reaches it.
    with log.open(mode) as file:
        return subprocess.Popen(
            command,
            env={ONE_TRY[0]: ONE_TRY[1], **of_no_worker(os.environ), LOOPBACK[0]: LOOPBACK[1]},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def _end(processes: list[dict[str, Any]]) -> None:
    alive = [each["pid"] for each in reversed(processes) if not has_ended(each["began"], each["pid"])]
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    _await_end(alive)
    for pid in alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # what it has started is of its group, also when it has ended itself
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    _await_end(alive)  # of what another process has started, which nobody can wait for


def _await_end(processes: list[int]) -> None:
    until = time.monotonic() + POLITE_S
    while any(map(is_running, processes)) and time.monotonic() < until:
        time.sleep(0.05)


def _named(name: str, pid: int) -> dict[str, Any]:
    return {"name": name, "pid": pid, "began": name_process(pid)}


def _free(port: int) -> int:
    try:
        with socket.create_server((HOST, port)) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ClusterError(
            f"Port {port} of this machine should be free, but: {error.strerror}. Choose another with --port."
        ) from error


def _path(name: str) -> Path:
    return Path(name).expanduser()
