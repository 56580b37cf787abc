"""A condition on a real Ray cluster, as a user sees it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.names import ledger_name
from flyte_ray.errors import RuntimeUserError
from flyte_ray.remote import Action, Condition
from tests import workloads
from tests.ray_cluster import process_of


def waiting(run: str, name: str) -> Condition:
    deadline = time.monotonic() + 60
    while (found := Condition.get(name, run_name=run)) is None or found.phase != "paused":
        assert time.monotonic() < deadline, f"condition {name!r} never waited: {found}"
        time.sleep(0.05)
    return found


def test_who_waits_for_a_person_lends_its_cpu_and_finds_the_signal_after_the_ledger_was_killed(
    connected: Path, tmp_path: Path
) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(workloads.asks_through_a_child, counts=str(counts))
    condition = waiting(run.name, "how-many")
    assert [each.name for each in Action.listall(run.name, in_phase="paused")] == [condition.action_name]
    assert flyte.run(workloads.needs_both_cpus).outputs() == (2,)
    os.kill(process_of(ledger_name(f"file://{connected}")), signal.SIGKILL)
    condition.signal(40)
    with pytest.raises(RuntimeUserError, match="was signalled with 40 by"):
        condition.signal(41)
    waiting(run.name, "more").signal(2)
    assert run.outputs() == (42,)
    assert counts.read_text() == "asks\n", "what waited was not begun again"
