"""A cluster of which only the dashboard is reached, with Ray's token: the same command, as if it ran here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import workloads
from tests.ray_cluster import cluster, free_port, ray_environ
from tests.waiting import within

CLI = [sys.executable, "-m", "flyte_ray.cli.main"]
WORKLOADS = str(Path(workloads.__file__))
TOKEN = {"RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    port = free_port()
    with cluster(2, variables={**TOKEN, "RAY_AUTH_MODE": "token"}, dashboard=port):
        yield ["--address", f"http://127.0.0.1:{port}", "--root", str(tmp_path_factory.mktemp("root"))]


def test_a_run_is_shown_fails_and_is_interrupted_as_if_it_ran_here(place: list[str], tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    words = ("slow_steps", "--n", "2", "--seconds", "600", "--counts", str(counts))
    # Side by side, because each begins with the start of a job, some seconds.
    with (
        _started("submit", *place, "--name", "slow", WORKLOADS, *words) as slow,
        _started("submit", *place, "--name", "bad", WORKLOADS, "failing", "-o", "json") as failing,
    ):
        said, told = failing.communicate(timeout=120)
        assert failing.returncode == 1, told
        about = json.loads(said)
        assert (about["run"], about["phase"]) == ("bad", "failed")
        assert f'File "{WORKLOADS}", line ' in about["error"]["traceback"]
        assert [line for line in told.splitlines() if not line.startswith("bad  ")] == []
        within(60)(lambda: counts.exists() and "begin" in counts.read_text())
        slow.send_signal(signal.SIGINT)
        said, told = slow.communicate(timeout=60)
        assert (slow.returncode, said) == (130, ""), told
        again = f"flyte-ray resume slow --root {place[3]} --address {place[1]}"
        assert told.splitlines()[-1] == f"Interrupted: run slow was aborted. Continue it: {again}"
        assert any(line.startswith("slow  ") for line in told.splitlines())


def test_who_has_no_token_is_told_so(place: list[str], tmp_path: Path) -> None:
    # Without a home that has one.
    with _started("get", "run", *place, RAY_AUTH_TOKEN="", HOME=str(tmp_path)) as process:
        _, told = process.communicate(timeout=60)
        assert (process.returncode, "asks for a token" in told) == (2, True), told


@contextmanager
def _started(*words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in ray_environ().items() if name != "RAY_AUTH_MODE"}
    with subprocess.Popen(
        [*CLI, *words],
        env={**kept, **TOKEN, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
