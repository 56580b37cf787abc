"""Run a command on the head of a cluster of which only the dashboard can be reached: as a job of Ray's.

Invariants: nothing waits without a limit for a dashboard that does not answer; what a job printed is handed on once, in
its order, also over a connection that was lost meanwhile.

Source: Ray 2.60, Jobs API.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import queue
import shlex
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flyte_ray.cluster.names import PROJECT
from flyte_ray.cluster.package import write_package
from flyte_ray.cluster.reach import AUTH_MODE, has_token, require_listener, token_refusal, use_token
from flyte_ray.errors import ClusterError

ANSWER_S: Final = 5.0
LOST_S: Final = 30.0
"""How long a dashboard may be away while a job is watched."""
AGAIN_S: Final = 1.0
STOP_S: Final = 15
"""How long a job that is to stop may take: its run is aborted before, which is stored."""
PORTS: Final = {"http": 80, "https": 443}
_PACKAGE: Final = "package"
# Whatever `python` means on the head's PATH: the one that Ray runs its workers with has Ray. The raylet's command line
# names it, whose child is the parent of this.
_ENTRY: Final = """\
raylet=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$PPID/status" 2>/dev/null)
python=$(tr '\\0' '\\n' < "/proc/$raylet/cmdline" 2>/dev/null |
    sed -n 's/^--python_worker_command=\\([^ ]*\\) .*/\\1/p')
PYTHONPATH="$PWD/package" exec "${python:-python3}" -m "$@"
"""


def require_dashboard(address: str) -> None:
    """Return if a dashboard of Ray's answers at an address, within 10 s in every case.

    Where it asks for a token, this process has one and the user has not set `RAY_AUTH_MODE`, token mode is switched on.

    Raises:
        ClusterError: Nobody listens there, what listens is no dashboard, or the token is refused.

    """
    parts = urlsplit(address)
    try:
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    except ValueError as error:
        raise ClusterError(f"A dashboard's address looks like http://head:8265, got {address!r}: {error}.") from None
    require_listener(f"{host}:{port}", host, port, "A dashboard of Ray's")
    status = _ask(address, {})
    if status in (401, 403):
        if AUTH_MODE not in os.environ and has_token():
            use_token()
        status = _ask(address, _auth_headers())
        if status in (401, 403):
            raise ClusterError(token_refusal(address))
    if status != 200:
        raise ClusterError(
            f"A dashboard of Ray's should answer at {address}, but what listens there says {status}. Give the address"
            f" that `ray start --head` calls the dashboard's (port 8265 unless it was chosen)."
        )


class Job:
    """A command that runs on the head of a cluster."""

    def __init__(self, client: Any, name: str, address: str) -> None:
        """Refer to a job by the name that Ray gave it."""
        self._client, self.name, self._address = client, name, address
        self._found: queue.Queue[str | ClusterError | None] = queue.Queue()
        self._rest = ""
        # On a thread, so that Ctrl-C reaches who waits for a line.
        threading.Thread(target=self._pump, args=(self._found,), daemon=True).start()

    def lines(self) -> Iterator[str]:
        """Yield what it prints, line by line without their ends, until it has ended.

        Who was interrupted may call this anew, and gets what follows.

        Raises:
            ClusterError: The dashboard does not answer any more; the job goes on.

        """
        while (said := self._found.get()) is not None:
            if isinstance(said, ClusterError):
                raise said
            self._rest += said
            while "\n" in self._rest:
                line, _, self._rest = self._rest.partition("\n")
                yield line
        if self._rest:
            yield self._rest

    def stop(self) -> None:
        """Interrupt it, as Ctrl-C does; it may say some last words.

        Raises:
            ClusterError: The dashboard does not answer any more; the job goes on.

        """
        self._ask(self._client.stop_job)

    def exit_code(self) -> int:
        """Return what it exited with, once it has ended: 130 if it was stopped.

        Raises:
            ClusterError: It could not begin, or the dashboard does not answer any more.

        """
        until = time.monotonic() + LOST_S
        while True:
            info = self._ask(self._client.get_job_info)
            if info.status.is_terminal():
                break
            if time.monotonic() > until:
                raise ClusterError(f"Job {self.name} at {self._address} should have ended, but is {info.status}.")
            time.sleep(AGAIN_S / 10)
        if info.status == "FAILED" and not info.driver_exit_code:
            raise ClusterError(f"Job {self.name} could not begin at {self._address}: {info.message}")
        return 130 if info.status == "STOPPED" else int(info.driver_exit_code or 0)

    def _ask(self, question: Callable[[str], Any]) -> Any:
        until = time.monotonic() + LOST_S
        while True:
            try:
                return question(self.name)
            except (RuntimeError, OSError, ValueError) as error:  # what Ray's client makes of an answer, or of none
                if time.monotonic() > until:
                    raise self._lost(error) from error
            time.sleep(AGAIN_S)

    def _lost(self, error: Exception) -> ClusterError:
        return ClusterError(f"The dashboard at {self._address} does not answer any more: {error!r}.")

    def _pump(self, found: queue.Queue[str | ClusterError | None]) -> None:
        seen = 0
        lost: float | None = None

        async def tail() -> None:
            nonlocal seen, lost
            passed = 0
            # A new connection begins at the beginning.
            async for text in self._client.tail_job_logs(self.name):
                fresh = text[max(0, seen - passed) :]
                passed += len(text)
                if fresh:
                    found.put(fresh)
                seen, lost = max(seen, passed), None

        while True:
            try:
                asyncio.run(tail())
                found.put(None)
                return
            except Exception as error:  # of requests, of aiohttp, of Ray: the dashboard is away
                lost = lost or time.monotonic()
                if time.monotonic() - lost > LOST_S:
                    found.put(self._lost(error))
                    return
            time.sleep(AGAIN_S)


def start_job(address: str, module: str, order: str, files: Mapping[str, bytes]) -> Job:
    """Have a module of this package run on the head, in a folder that holds `files` below `PROJECT`.

    Args:
        address: Of the dashboard, see `require_dashboard`.
        module: Its name; it runs as a program.
        order: Its argument, which is kept with the job.
        files: By their paths, with `/`.

    Raises:
        ClusterError: The job cannot be sent.

    """
    import ray  # half a second; only what runs on Ray pays it
    from ray.job_submission import JobSubmissionClient

    for name in ("ray", "ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Ray's client prefers its variables to what it is given.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    with tempfile.TemporaryDirectory(prefix="flyte-ray-job-") as folder:
        code = Path(folder, "code.zip")
        code.write_bytes(_pack(files))
        try:
            client = JobSubmissionClient(address)
            name = client.submit_job(
                entrypoint=f"exec sh begin.sh {shlex.join([module, order])}",
                runtime_env={
                    "working_dir": str(code),
                    "env_vars": {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S)},
                },
            )
        except (RuntimeError, ConnectionError, ValueError, OSError, ray.exceptions.RayError) as error:
            raise ClusterError(f"A job should start at {address}, but: {error}") from error
    return Job(client, name, address)


def _pack(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        # Below a folder of its own, so that only the job itself imports it: Ray's workers get it as ever.
        write_package(archive, _PACKAGE)
        written = {"begin.sh": _ENTRY.encode(), **{f"{PROJECT}/{name}": data for name, data in files.items()}}
        for name, data in sorted(written.items()):
            # No times, so that equal files give one zip, which Ray then keeps once.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _auth_headers() -> dict[str, str]:
    from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled

    return dict(get_auth_headers_if_auth_enabled({}))


def _ask(address: str, headers: Mapping[str, str]) -> int | str:
    """Return the status of a dashboard's answer to the question for its version, or what is wrong with it."""
    try:
        # Of http(s) alone, see `is_dashboard`.
        request = urllib.request.Request(f"{address.rstrip('/')}/api/version", headers=dict(headers))
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return 200 if "ray_version" in json.loads(answer.read(100_000)) else "something else"
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
