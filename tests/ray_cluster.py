"""A Ray cluster of the tests' own: one node, started as a process of its own, ended by its id."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.names import NAMESPACE

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DEDUP_LOGS": "0"}
RAY = os.path.join(os.path.dirname(sys.executable), "ray")
CLIENT_PORTS: dict[str, int] = {}
"""Where the clusters that were started here listen for `ray://`, by their addresses."""
FAKE_HEAD = "f" * 51 + "00000"
"""Ray's pretended cloud knows the head by this id."""
TOP = str(Path(__file__).parent.parent)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ray_environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "FLYTE_RAY_ROOT")}
    path = os.pathsep.join(part for part in (TOP, os.environ.get("PYTHONPATH", "")) if part)
    return {**kept, **QUIET, "PYTHONPATH": path}


def without_key() -> dict[str, str]:
    """The variables of a cluster: slots get the key that pickles are signed with from the ledger alone."""
    return {name: value for name, value in ray_environ().items() if name != "FLYTE_RAY_KEY"}


@contextmanager
def cluster(
    cpus: int,
    memory: int = 0,
    variables: Mapping[str, str] = MappingProxyType({}),
    growth: Mapping[str, int] = MappingProxyType({}),
    dashboard: int = 0,
    ray: tuple[str, ...] = (RAY,),
) -> Iterator[str]:
    """Start a cluster of one node, with these variables in its environment, by this `ray`, and yield its address.

    With `growth`, CPUs by name, Ray's autoscaler may add one node of each of these types, on this machine. With
    `dashboard` it has one, at that port.
    """
    # Socket paths below a long temporary folder would be too long for the system.
    with tempfile.TemporaryDirectory(prefix="fr", dir="/tmp", ignore_cleanup_errors=True) as folder:
        port, client_port = free_port(), free_port()
        command = [*ray, "start", "--head", "--block"]
        command += [f"--port={port}", f"--num-cpus={cpus}", f"--temp-dir={folder}"]
        command += [f"--dashboard-port={dashboard}"] if dashboard else ["--include-dashboard=false"]
        command += [f"--ray-client-server-port={client_port}", f"--dashboard-agent-listen-port={free_port()}"]
        command += ["--node-ip-address=127.0.0.1", "--object-store-memory=200000000"]
        command += [f"--memory={memory}"] if memory else []
        if growth:
            file = Path(folder, "autoscaler.json")
            file.write_text(json.dumps(autoscaler(port, cpus, growth)))
            command += [f"--autoscaling-config={file}"]
            variables = {**variables, "RAY_FAKE_CLUSTER": "1", "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD}
            variables["AUTOSCALER_UPDATE_INTERVAL_S"] = "1"
        with _process(command, Path(folder, "start.log"), variables):
            CLIENT_PORTS[f"127.0.0.1:{port}"] = client_port
            yield f"127.0.0.1:{port}"


@contextmanager
def other_node(address: str, cpus: int, hidden: Path | None = None, more: tuple[str, ...] = ()) -> Iterator[None]:
    """Have another node of this machine join a cluster: one that sees an empty folder where `hidden` is, if given.

    It is started with `more` options.
    """
    alone = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)] if hidden else []
    command = [RAY, "start", "--block", f"--address={address}", f"--num-cpus={cpus}", "--node-ip-address=127.0.0.2"]
    command += [f"--dashboard-agent-listen-port={free_port()}", "--object-store-memory=200000000", *more]
    with tempfile.TemporaryDirectory() as folder, _process([*alone, *command], Path(folder, "start.log"), {}):
        yield


@contextmanager
def _process(command: list[str], log: Path, variables: Mapping[str, str]) -> Iterator[None]:
    # Who is killed cannot tear down: then Linux asks Ray to end.
    watched = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    with log.open("w") as file:
        process = subprocess.Popen(
            [*watched, *command], env={**without_key(), **variables}, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        # Asked politely, Ray waits half a minute for our detached actors. Its processes have a group of their own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def autoscaler(port: int, cpus: int, growth: Mapping[str, int]) -> dict[str, object]:
    """The configuration of an autoscaler that starts its nodes as processes."""
    types = {name: {"resources": {"CPU": count}, "node_config": {}, "max_workers": 1} for name, count in growth.items()}
    head = {"resources": {"CPU": cpus}, "node_config": {}, "max_workers": 0}
    lists = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "test",
        "max_workers": len(growth),
        "provider": {
            "type": "fake_multinode",
            "gcs_address": f"127.0.0.1:{port}",
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {"head": head, **types},
        "head_node_type": "head",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        **{f"{name}_commands": [] for name in lists},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
    }


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """One cluster with two CPUs for all tests that do not harm it."""
    with cluster(2) as address:
        yield address


@pytest.fixture(scope="session")
def ray_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One root for all tests that connect to that cluster: each more costs the start of a ledger and its holder."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def connected(ray_address: str, ray_root: Path) -> Iterator[Path]:
    """Connect this process to that cluster while the tests of a module run, and yield the root."""
    with connection(ray_address, ray_root):
        yield ray_root


@contextmanager
def connection(address: str, root: Path) -> Iterator[None]:
    """Connect this process to a cluster, with a root there."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        flyte.init(root=root, address=address)
        try:
            yield
        finally:
            import ray

            ray.shutdown()


def process_of(actor: str) -> int:
    """The process of one of our actors on the connected cluster."""
    import ray

    return int(ray.get(ray.get_actor(actor, NAMESPACE).process.remote()))
