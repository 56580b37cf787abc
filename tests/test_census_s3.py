"""The census with its root on a real S3 server: on an embedded Ray, killed half way and resumed, it ends as locally."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flyte_ray.ledger.events import STARTED, SUCCEEDED
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store, open_store
from tests.ray_cluster import ray_environ

CLI = [sys.executable, "-m", "flyte_ray.cli.main"]
CENSUS = str(Path(__file__).parent.parent / "examples" / "census.py")
# One file more than 600 in it: enough that a kill in the middle leaves much on both sides.
LIMIT = 25


@pytest.fixture(scope="module")
def root(s3_root: str) -> str:
    return f"{s3_root}/census"


@pytest.fixture(scope="module")
def printed(root: str) -> str:
    """What an undisturbed run without Ray prints as its result."""
    return finished(submit(root, "whole", "--local"), "whole")


def test_every_action_of_the_census_is_recorded_on_s3(root: str, printed: str) -> None:
    assert all_succeeded(root, RunId("whole"), printed)


def test_the_rows_of_the_census_are_stored_with_the_run(root: str, printed: str) -> None:
    path = printed.partition("File(path='")[2].partition("'")[0].replace("RUN", "whole")
    assert path.startswith(f"{root}/runs/whole/data/") and path.endswith("/census.parquet")
    table = pq.read_table(io.BytesIO(open_store(root).get(path.removeprefix(f"{root}/"))))
    assert f"files={len(table)}," in printed and "documented" in table.column_names


def test_the_census_is_killed_half_way_and_resumed_with_the_same_result(
    root: str, printed: str, tmp_path: Path
) -> None:
    store, run = open_store(root), RunId("cut")
    with (tmp_path / "submit.log").open("w") as log:
        process = subprocess.Popen(submit(root, run), env=ray_environ(), stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for_successes(store, run, 500, process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    wait_until_gone(process.pid)
    position, done_before = stored_successes(store, run)
    assert 500 <= len(done_before) < 1500

    assert finished([*CLI, "resume", "--root", root, run], run) == printed
    assert all_succeeded(root, run, printed)
    started = {
        event.action
        for _, segment in read_segments(store, run, position)
        for event in segment.events
        if event.kind == STARTED
    }
    assert started, "nothing was left to do: the kill came too late"
    assert not started & done_before


def submit(root: str, name: str, *options: str) -> list[str]:
    return [*CLI, "submit", "--root", root, "--name", name, *options, CENSUS, "census", "--limit", str(LIMIT)]


def finished(command: list[str], run: str) -> str:
    """The result that a command prints, without the run's name in the one path that it holds."""
    done = subprocess.run(command, env=ray_environ(), capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("o0 = ")]
    return lines[0].replace(f"/runs/{run}/", "/runs/RUN/")


def all_succeeded(root: str, run: RunId, printed: str) -> bool:
    actions = load_state(open_store(root), run).actions.values()
    files = int(printed.partition("files=")[2].partition(",")[0])
    assert files > 1000
    # The root, one for each package and file, and the three that join, save and summarize.
    assert len(actions) == 1 + LIMIT + files + 3
    return {action.phase for action in actions} == {ActionPhase.SUCCEEDED}


def stored_successes(store: Store, run: RunId) -> tuple[int, set[str]]:
    """The log's next position, and the actions that it says have succeeded."""
    position = 0
    found: set[str] = set()
    for place, segment in read_segments(store, run):
        position = place + 1
        found.update(event.action for event in segment.events if event.kind == SUCCEEDED)
    return position, found


def wait_for_successes(store: Store, run: RunId, number: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while len(stored_successes(store, run)[1]) < number:
        assert process.poll() is None and time.monotonic() < deadline, "the run ended or never came so far"
        time.sleep(0.1)


def wait_until_gone(group: int) -> None:
    """Wait until no process of a killed session is left: Ray's own are to die with the one that started them."""
    deadline = time.monotonic() + 30
    while left := list(living(group)):
        assert time.monotonic() < deadline, f"these outlived the killed process: {left}"
        time.sleep(0.1)


def living(session: int) -> Iterator[str]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, _, owner, *_ = rest.split()
        if int(owner) == session and state not in "ZX":
            yield name
