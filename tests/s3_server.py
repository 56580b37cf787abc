"""A real S3 server for the tests: one-node Ceph from Debian's packages, started once per session."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "curl")
"""Of the server, and of its starter."""
STARTER = Path(__file__).parent / "s3" / "start-s3.sh"


@dataclass(frozen=True)
class S3Server:
    """A server that runs."""

    folder: Path
    variables: dict[str, str]
    """Those that reach it."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The same for `flyte.storage.S3`, for a cluster that knows nothing of it."""
        return {
            "endpoint": self.variables["AWS_ENDPOINT_URL_S3"],
            "access_key_id": self.variables["AWS_ACCESS_KEY_ID"],
            "secret_access_key": self.variables["AWS_SECRET_ACCESS_KEY"],
            "region": self.variables["AWS_REGION"],
        }

    def kill(self) -> None:
        """Kill what answers requests; all that was acknowledged stays."""
        self._call("rgw-kill")

    def start(self) -> None:
        """Have it answer again; returns when it does."""
        self._call("rgw-start")

    def _call(self, command: str) -> None:
        subprocess.run([str(STARTER), command, str(self.folder)], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def s3_server(folder: Path, bucket: str) -> Iterator[dict[str, str]]:
    """Start the server with its data in `folder`, yield the variables that reach it, and end it."""
    command = [str(STARTER), "start", str(folder), str(_free_pair())]
    done = subprocess.run(
        command, env={**os.environ, "S3_BUCKET": bucket}, stdout=subprocess.PIPE, text=True, check=True
    )
    exports = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines())
    try:
        yield {**exports, "AWS_EC2_METADATA_DISABLED": "true"}
    finally:
        subprocess.run([str(STARTER), "kill", str(folder)], check=True)


@pytest.fixture(scope="session")
def s3_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start the server and set the AWS variables that reach it."""
    folder = tmp_path_factory.mktemp("s3")
    skips = not os.environ.get("CI")  # which is root on Debian
    if skips and (reason := why_not_here()):
        pytest.skip(f"the S3 server is Debian's radosgw: {reason}")
    with contextlib.ExitStack() as stack:
        try:
            variables = stack.enter_context(s3_server(folder, "tests"))
        except subprocess.CalledProcessError:
            if skips and (reason := why_not_installed(folder)):
                pytest.skip(f"the S3 server is Debian's radosgw: {reason}")
            raise
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in variables.items():
            patch.setenv(name, value)
        yield S3Server(folder, variables)


def why_not_here() -> str | None:
    """Say why the server can neither be started nor installed here; None if it can."""
    if all(map(shutil.which, PROGRAMS)) and list(Path("/usr/lib").glob("*/libeatmydata.so")):
        return None
    if shutil.which("apt-get") is None:
        return "not installed, and this system has no apt-get"
    return "not installed, and only root can install it" if os.geteuid() else None


def why_not_installed(folder: Path) -> str | None:
    """Say why the starter could not install the server; None if it failed at something else."""
    log = folder / "run" / "apt.log"
    is_unknown = log.exists() and "Unable to locate package" in log.read_text()
    return "this system's packages have none" if is_unknown else None


@pytest.fixture(scope="session")
def s3_root(s3_running: S3Server) -> str:
    """Return a fresh `s3://bucket/prefix`."""
    return f"s3://tests/{uuid.uuid4().hex}"


def _free_pair() -> int:
    """Find a port whose successor is free too: the server takes both."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
