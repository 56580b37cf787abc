"""A cluster that cannot be worked with is named within seconds: wrong address, token or versions."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_ray.cluster.reach import Versions, differs, require_cluster
from flyte_ray.errors import ClusterError
from tests import workloads
from tests.ray_cluster import cluster, free_port, ray_environ

TOKEN = "a" * 64
SUBMIT = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--name", "asked"]
TASK = [str(Path(workloads.__file__)), "square", "--x", "7"]


def test_a_port_where_nobody_listens_is_named_at_once() -> None:
    address = f"127.0.0.1:{free_port()}"
    begun = time.monotonic()
    with pytest.raises(ClusterError, match=f"should listen at {address}, but: .*refused") as said:
        require_cluster(address)
    assert said.value.__suppress_context__, "the sentence has all that the socket's error says"
    assert time.monotonic() - begun < 30


def test_a_server_that_is_no_ray_cluster_is_told_apart_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(ClusterError, match=f"should answer at {address}"):
            require_cluster(address)
        assert time.monotonic() - begun < 30


@pytest.mark.parametrize("address", ["auto", "local", "ray://127.0.0.1:1"])
def test_forms_of_addresses_that_are_rays_own_affair_are_left_to_ray(address: str) -> None:
    require_cluster(address)


def test_versions_that_differ_are_both_named() -> None:
    sentence = differs(Versions("2.59.1", "3.10.2"), Versions("2.60.0", "3.11.7"))
    for part in ("cluster runs Ray 2.59.1 on Python 3.10.2", "this process Ray 2.60.0 on Python 3.11.7"):
        assert part in sentence
    assert "3.12.1" in differs(Versions("2.60.0", "3.12.1"), Versions("2.60.0", "3.11.7"))
    assert differs(Versions("2.60.0", "3.11.2"), Versions("2.60.0", "3.11.7")) == ""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster that asks for a token."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    with cluster(1, variables={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}) as address:
        yield address


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "asks for a token, and this process sent none."),
        ({"RAY_AUTH_MODE": "disabled"}, "sent none (RAY_AUTH_MODE is 'disabled' here)"),
        ({"RAY_AUTH_TOKEN": "b" * 64}, "should accept this process's token, but refused it"),
        ({"RAY_AUTH_TOKEN": "b" * 64, "RAY_AUTH_MODE": "token"}, "but refused it"),
    ],
)
def test_a_refused_token_is_said_within_seconds(
    guarded: str, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    begun = time.monotonic()
    done = submit(guarded, tmp_path, variables)
    assert time.monotonic() - begun < 30
    assert done.returncode != 0
    assert f"cluster at {guarded}" in done.stderr and said in done.stderr


def test_the_right_token_is_used_without_being_told_to(guarded: str, tmp_path: Path) -> None:
    done = submit(guarded, tmp_path, {"RAY_AUTH_TOKEN": TOKEN})
    assert "o0 = 49" in done.stdout, done.stderr


def submit(address: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    # A home of the test's own: the machine's user may have a token there.
    kept = {name: value for name, value in ray_environ().items() if not name.startswith("RAY_AUTH_")}
    environ = {**kept, "HOME": str(folder), **variables}
    command = [*SUBMIT, "--root", os.fspath(folder / "root"), "--address", address, *TASK]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=180)
