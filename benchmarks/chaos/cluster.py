"""Two Ray nodes on this machine, and what can be killed of them: slots, ledger, launcher, a driver, the second node."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.ray_cluster import free_port, ray_environ

WEIGHTS: Final = {"slot": 70, "ledger": 15, "driver": 5, "node": 5, "launcher": 5}
"""How often each kind is killed, in percent."""
_TITLES: Final = {"slot": "ray::flyte-ray slot", "ledger": "ray::LedgerActor", "launcher": "ray::Launcher"}
_RAY: Final = os.path.join(os.path.dirname(sys.executable), "ray")


class Node:
    """The processes of one Ray node, in a group of their own."""

    def __init__(self, words: list[str], environ: Mapping[str, str], log: Path) -> None:
        """Start it, and return when Ray says that it runs."""
        ports = [f"--dashboard-agent-listen-port={free_port()}", f"--dashboard-agent-grpc-port={free_port()}"]
        ports += [f"--metrics-export-port={free_port()}"]
        command = [_RAY, "start", "--block", "--node-ip-address=127.0.0.1", *ports, *words]
        with log.open("w") as file:
            self._process = subprocess.Popen(
                command, env=dict(environ), stdout=file, stderr=file, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while "Ray runtime started" not in log.read_text():
            assert self._process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill all its processes: Ray's own, and with the raylet its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def workers(self) -> dict[int, str]:
        """Titles of the processes that its raylet has started, by id."""
        titles = {int(entry.name): _title(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        group = {pid for pid in titles if _group(pid) == self._process.pid}
        raylets = {pid for pid in group if "/raylet/raylet" in titles[pid]}
        return {pid: title for pid, title in titles.items() if _parent(pid) in raylets}


class Cluster:
    """A head and a second node, each with some logical CPUs."""

    def __init__(self, cpus: int, environ: Mapping[str, str], folder: Path) -> None:
        """Start both."""
        self._cpus, self._environ, self._folder = cpus, {**ray_environ(), **environ}, folder
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.head = Node(
            [
                *("--head", f"--port={port}", f"--num-cpus={cpus}", "--include-dashboard=false"),
                *(f"--ray-client-server-port={free_port()}", f"--temp-dir={folder}", "--object-store-memory=200000000"),
            ],
            self._environ,
            folder / "head.log",
        )
        self.second = self._join()

    def _join(self) -> Node:
        words = [f"--address={self.address}", f"--num-cpus={self._cpus}", "--object-store-memory=200000000"]
        return Node(words, self._environ, self._folder / "second.log")

    def replace_second(self) -> None:
        """Kill the second node, and start another in its place."""
        self.second.kill()
        self.second = self._join()

    def victims(self, kind: str) -> list[int]:
        """Processes of a kind."""
        workers = {**self.head.workers(), **self.second.workers()}
        return [pid for pid, title in workers.items() if title.startswith(_TITLES[kind])]

    def end(self) -> None:
        """Kill both nodes."""
        self.second.kill()
        self.head.kill()


@contextmanager
def running(cpus: int, environ: Mapping[str, str]) -> Iterator[Cluster]:
    """Start a cluster and end it."""
    # Socket paths below a long temporary folder would be too long for the system.
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(cpus, environ, Path(folder))
        try:
            yield cluster
        finally:
            cluster.end()


def pick(dice: random.Random) -> str:
    """Choose what is killed next."""
    return dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


def _title(entry: Path) -> str:
    with contextlib.suppress(OSError):
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def _parent(pid: int) -> int:
    return _stat(pid)[0]


def _group(pid: int) -> int:
    return _stat(pid)[1]


def _stat(pid: int) -> tuple[int, int]:
    with contextlib.suppress(OSError, ValueError):
        # What follows the name, which may hold blanks: state, parent, process group.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(words[1]), int(words[2])
    return 0, 0
