"""A Ray cluster of the tests' own: one node, started as a process of its own, ended by its id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DEDUP_LOGS": "0"}
TOP = str(Path(__file__).parent.parent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ray_environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "FLYTE_RAY_ROOT")}
    path = os.pathsep.join(part for part in (TOP, os.environ.get("PYTHONPATH", "")) if part)
    return {**kept, **QUIET, "PYTHONPATH": path}


@contextmanager
def cluster(cpus: int, memory: int = 0, variables: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Start a cluster of one node, with these variables in its environment, and yield its address."""
    # Socket paths below a long temporary folder would be too long for the system.
    with tempfile.TemporaryDirectory(prefix="fr", dir="/tmp", ignore_cleanup_errors=True) as folder:
        port = free_port()
        command = [os.path.join(os.path.dirname(sys.executable), "ray"), "start", "--head", "--block"]
        command += [f"--port={port}", f"--num-cpus={cpus}", "--include-dashboard=false", f"--temp-dir={folder}"]
        command += [f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"]
        command += ["--node-ip-address=127.0.0.1", "--object-store-memory=200000000"]
        command += [f"--memory={memory}"] if memory else []
        log = Path(folder, "start.log")
        with log.open("w") as file:
            process = subprocess.Popen(
                command, env={**ray_environ(), **variables}, stdout=file, stderr=file, start_new_session=True
            )
        try:
            deadline = time.monotonic() + 60
            while "Ray runtime started" not in log.read_text():
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            # Asked politely, Ray waits half a minute for our detached actors. Its processes have a group of their own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """One cluster with two CPUs for all tests that do not harm it."""
    with cluster(2) as address:
        yield address
