"""Limits on a real Ray cluster, as a user sees them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import DeadlineExceededError, OOMError
from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests import limited
from tests.ray_cluster import cluster, ray_environ


def test_whatever_an_attempt_does_its_time_ends(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    began = time.monotonic()
    assert flyte.run(limited.goes_on_without_them, counts=str(counts)).outputs() == (["MaxRuntimeExceededError"] * 3,)
    assert time.monotonic() - began < 100
    assert sorted(counts.read_text().split("\n")) == ["", "cleaned up", "spins"]


def test_an_attempt_that_had_to_be_killed_is_retried_without_counting_as_lost(connected: Path, tmp_path: Path) -> None:
    run = flyte.run(limited.stuck_at_first, counts=str(tmp_path / "counts"))
    assert run.outputs() == (2,)
    root = load_state(open_store(connected), RunId(run.name)).root
    assert (root.attempts, root.failures, root.losses) == (2, 1, 0)


def test_a_deadline_counts_over_all_attempts(connected: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError, match="deadline=5 s"):
        flyte.run(limited.late_in_every_attempt).outputs()
    assert 5 <= time.monotonic() - began < 60


def test_what_waits_too_long_for_resources_times_out(connected: Path) -> None:
    assert flyte.run(limited.queues_behind, seconds=6.0).outputs() == ("MaxQueuedTimeExceededError",)


def test_an_attempt_that_takes_too_much_memory_is_ended_and_says_what_to_do(connected: Path) -> None:
    with pytest.raises(OOMError, match=r"may use 200 MiB of memory and used \d+ MiB.*on_oom='grow'"):
        flyte.run(limited.takes_too_much).outputs()


def test_actions_with_a_memory_limit_never_share_a_process(connected: Path) -> None:
    (processes,) = flyte.run(limited.holds, depth=2).outputs()
    assert len(set(processes)) == 3


def test_what_earlier_actions_left_in_a_process_fails_nobody(connected: Path) -> None:
    assert flyte.run(limited.one_after_another, n=4).outputs() == (6,)


def test_of_those_that_ray_ends_for_lack_of_memory_the_one_that_took_it_fails(tmp_path: Path) -> None:
    with open("/proc/meminfo") as file:
        memory = {line.split(":")[0]: int(line.split()[1]) for line in file}
    used = 1 - memory["MemAvailable"] / memory["MemTotal"]
    variables = {"RAY_memory_usage_threshold": str(used + 0.15), "RAY_memory_monitor_refresh_ms": "100"}
    with cluster(2, variables=variables) as address:
        command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--root", str(tmp_path), "--address", address]
        command += [limited.__file__, "beside_one_that_takes_too_much", "--part", "0.4"]
        done = subprocess.run(command, env=ray_environ(), capture_output=True, text=True, check=False, timeout=150)
    assert re.search(r"used \d+ MiB of memory at its peak, more than any other task on its node", done.stdout), done


def test_an_attempt_gets_twice_the_memory_until_it_is_enough(connected: Path) -> None:
    run = flyte.run(limited.needs_500_mib)
    run.wait()
    root = load_state(open_store(connected), RunId(run.name)).root
    assert run.phase.value == "succeeded", root.result
    # On a busy machine the process may end before it has told why: that is a loss, and the attempt runs again.
    assert root.growths == root.attempts - 1 - root.losses >= 1
    assert root.failures == 0
