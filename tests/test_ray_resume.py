"""Runs that are continued, or started anew, on a real Ray cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.names import ledger_name
from tests import workloads
from tests.ray_cluster import process_of
from tests.test_ray import wait_for
from tests.test_resume import Project


def begun(counts: Path) -> list[str]:
    return sorted(" ".join(line.split()[:2]) for line in counts.read_text().splitlines() if not line.startswith("end"))


def test_a_failed_run_is_resumed_under_its_name_and_keeps_what_has_succeeded(connected: Path, tmp_path: Path) -> None:
    counts, marker = tmp_path / "counts", tmp_path / "marker"
    run = flyte.run(workloads.steps_then_needs, n=3, marker=str(marker), counts=str(counts))
    with pytest.raises(flyte.errors.RuntimeUserError, match="not there yet"):
        run.outputs()
    marker.touch()
    assert flyte.remote.Run.get(run.name).resume().outputs() == (4,)
    assert begun(counts) == ["begin 0", "begin 1", "begin 2", "needs", "needs"]


def test_an_aborted_run_is_resumed_under_its_name(connected: Path, tmp_path: Path) -> None:
    counts, marker = tmp_path / "counts", tmp_path / "marker"
    run = flyte.run(workloads.steps_then_waits, n=3, marker=str(marker), counts=str(counts))
    wait_for(counts, "waits")
    run.abort("enough")
    assert run.phase.value == "aborted"
    marker.touch()
    assert run.resume().outputs() == (3,)
    assert [line for line in begun(counts) if line != "waits"] == ["begin 0", "begin 1", "begin 2"]


def test_a_run_is_resumed_with_edited_code_and_runs_again_what_that_changed(ray_address: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    options = ("--address", ray_address, "--env", f"COUNTS={project.counts}", "--name", "edited")
    assert "ValueError: broken" in project("submit", *options, "flow.py", "main", "--n", "2").stderr
    project.executed()
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    project.edit("scaling.py", "x * 2", "x * 3")
    done = project("resume", "--address", ray_address, "--with-current-code", "edited")
    assert "again  2  flow.train    scaling.scale changed" in done.stderr
    assert "o0 = 10" in done.stdout, done.stderr
    assert project.executed() == {"main": 1, "train": 2, "report": 1}


def test_a_run_is_started_anew_and_takes_over_what_has_succeeded(connected: Path, tmp_path: Path) -> None:
    counts, marker = tmp_path / "counts", tmp_path / "marker"
    run = flyte.run(workloads.steps_then_needs, n=3, marker=str(marker), counts=str(counts))
    with pytest.raises(flyte.errors.RuntimeUserError, match="not there yet"):
        run.outputs()
    marker.touch()
    again = flyte.rerun(run.name, recover=True, n=4)
    assert again.outputs() == (7,)
    assert begun(counts) == ["begin 0", "begin 1", "begin 2", "begin 3", "needs", "needs"]
    phases = [action.phase.value for action in flyte.remote.Action.listall(again.name)]
    assert phases == ["succeeded", *["recovered"] * 3, "succeeded", "succeeded"]
    assert flyte.rerun(run.name).outputs() == (4,)
    assert begun(counts).count("begin 0") == 2


def test_a_run_that_takes_outcomes_over_goes_on_with_that_after_its_ledger_was_killed(
    connected: Path, tmp_path: Path
) -> None:
    counts, marker = tmp_path / "counts", tmp_path / "marker"
    run = flyte.run(workloads.waits_then_steps, n=3, marker=str(marker), counts=str(counts))
    marker.touch()
    assert run.outputs() == (3,)
    marker.unlink()
    again = flyte.rerun(run.name, recover=True)
    wait_for(counts, "waits")
    os.kill(process_of(ledger_name(f"file://{connected}")), signal.SIGKILL)
    marker.touch()
    assert again.outputs() == (3,)
    assert [line for line in begun(counts) if line != "waits"] == ["begin 0", "begin 1", "begin 2"]
