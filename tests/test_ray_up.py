"""A local Ray that stays: commands find it by themselves, nobody else on the network does, and `down` ends it alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyte_ray.ledger.origin import is_running
from tests import workloads
from tests.ray_cluster import ray_environ
from tests.waiting import within

CLI = [sys.executable, "-m", "flyte_ray.cli.main"]
WORKLOADS = str(Path(workloads.__file__))
OFTEN = """
import flyte_ray as flyte

env = flyte.TaskEnvironment("often")

@env.task(triggers=flyte.Trigger("yearly", flyte.Cron("0 0 1 1 *")))
def main() -> int:
    return 1
"""
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Socket paths below a long temporary folder would be too long for the system.
    with tempfile.TemporaryDirectory(prefix="fr", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def call(home: Path) -> Iterator[Call]:
    """Calls commands of one user, who has started a Ray that stays."""
    environ = {**ray_environ(), "HOME": str(home), "RAY_TMPDIR": str(home)}

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CLI, *words],
            env={**environ, **variables},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    (home / "often.py").write_text(OFTEN)
    assert run("deploy", "often.py").returncode == 0
    started = run("up", "--port", "0", "--num-cpus", "1", "--no-console", "-o", "json")
    try:
        assert started.returncode == 0, started.stderr
        yield run
    finally:
        run("down")


def test_commands_find_it_and_only_this_machine_reaches_it(call: Call, home: Path) -> None:
    record = json.loads((home / ".flyte-ray" / "up.json").read_text())
    assert not (home / "ray" / "ray_current_cluster").exists()  # a plain `ray.init()` does not join it
    # It fires triggers, for which no run has to start first.
    assert json.loads(call("get", "cluster", "-o", "json").stdout)["ledger"]
    done = call("submit", "--name", "found", WORKLOADS, "square", "--x", "6", "-o", "json")
    assert json.loads(done.stdout)["result"] == 36, done.stderr
    found = json.loads(call("get", "cluster", "-o", "json").stdout)
    assert (found["address"], found["ledger"], len(found["nodes"])) == (record["address"], True, 1)
    port = int(record["address"].rpartition(":")[2])
    for host in {str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), port)} - {"127.0.0.1", "::1"}:
        with pytest.raises(OSError):
            socket.create_connection((host, port), 1).close()


def test_a_second_one_is_refused(call: Call) -> None:
    done = call("up", "--port", "0")
    assert (done.returncode, "runs already, at 127.0.0.1:" in done.stderr) == (2, True)


def test_down_ends_what_up_has_started_and_nothing_else(call: Call, home: Path) -> None:
    record = json.loads((home / ".flyte-ray" / "up.json").read_text())
    done = call("down")
    assert done.stdout == f"Ended the Ray at {record['address']}.\n"
    assert not any(is_running(each["pid"]) for each in record["processes"])
    # What asks now and then whether its Ray is there, and workers, end by themselves.
    within(60)(lambda: not any(_mentions(path, f"HOME={home}") for path in Path("/proc").glob("[0-9]*/environ")))


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes().split(b"\0")
    except OSError:
        return False
