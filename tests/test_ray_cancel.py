"""What is stopped on a real Ray cluster, and that no process of it remains."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import RuntimeUserError
from flyte_ray.remote import Action
from flyte_ray.runtime.user import current_user
from tests import cancelled
from tests.cancelled import lives, processes, wait_until
from tests.ray_cluster import ray_environ

CLI = [sys.executable, "-m", "flyte_ray.cli.main"]


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    return tmp_path / "counts"


def wait_for(counts: Path, text: str) -> None:
    wait_until(lambda: counts.exists() and text in counts.read_text(), f"{text!r} never appeared")


def wait_for_the_end_of_processes(counts: Path) -> None:
    assert processes(counts), "none was started"
    wait_until(lambda: not any(lives(process) for process in processes(counts)), "a process goes on")


def endings(run: str) -> dict[str, tuple[str, object]]:
    """How the actions of a run ended, by task: phase, and why and by whom they were aborted."""
    return {each.task_name.partition(".")[2]: (each.phase.value, each.abort_info) for each in Action.listall(run)}


def test_cancelling_the_task_that_awaits_a_call_aborts_the_child_and_all_below_it(
    connected: Path, counts: Path
) -> None:
    run = flyte.run(cancelled.gives_up_a_call, counts=str(counts))
    assert run.outputs() == ("went on",)
    aborted = ("aborted", ("its parent cancelled it", "action a0"))
    assert endings(run.name) == {"gives_up_a_call": ("succeeded", None), "sleeps_below": aborted, "sleeps": aborted}
    wait_for(counts, "cleaned up")


def test_a_root_that_ends_while_children_run_aborts_them(connected: Path, counts: Path) -> None:
    run = flyte.run(cancelled.ends_before_its_child, counts=str(counts))
    assert run.outputs() == ("done",)
    aborted = ("aborted", ("its parent ended", "action a0"))
    assert endings(run.name) == {
        "ends_before_its_child": ("succeeded", None),
        "sleeps_below": aborted,
        "sleeps": aborted,
    }
    wait_for(counts, "cleaned up")


def test_an_abort_says_why_and_by_whom_and_a_second_one_that_it_has_ended(connected: Path, counts: Path) -> None:
    run = flyte.run(cancelled.sleeps_below, counts=str(counts))
    wait_for(counts, "began")
    run.abort("enough")
    aborted = ("aborted", ("enough", current_user()))
    assert endings(run.name) == {"sleeps_below": aborted, "sleeps": aborted}
    with pytest.raises(RuntimeUserError, match="has ended already: aborted. Nothing was aborted"):
        run.abort("again")


@pytest.mark.parametrize("task", [cancelled.waits_for_a_process, cancelled.waits_for_a_process_later])
def test_the_processes_of_an_aborted_action_end_with_it(
    connected: Path, counts: Path, task: flyte.TaskTemplate
) -> None:
    run = flyte.run(task, counts=str(counts))
    wait_until(lambda: len(processes(counts)) == 3, "it started no processes")
    run.abort("enough")
    wait_for_the_end_of_processes(counts)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_processes_of_its_parent_go_on(connected: Path, counts: Path, is_async: bool) -> None:
    assert flyte.run(cancelled.keeps_its_own_process, counts=str(counts), is_async=is_async).outputs() == ("lives",)


def test_the_processes_of_a_killed_slot_end_with_it(connected: Path, counts: Path) -> None:
    run = flyte.run(cancelled.stuck_with_processes, counts=str(counts))
    wait_for(counts, "stuck")
    first = processes(counts)
    os.kill(int(re.findall(r"slot (\d+)", counts.read_text())[0]), signal.SIGKILL)
    wait_until(lambda: not any(lives(process) for process in first), "a process goes on")
    # It runs again, and now the ledger ends its slot's process.
    wait_until(lambda: counts.read_text().count("stuck") == 2, "it did not run again")
    run.abort("enough")
    wait_for_the_end_of_processes(counts)


def test_what_an_action_leaves_ends_with_its_slot(connected: Path, counts: Path) -> None:
    assert flyte.run(cancelled.leaves_a_process, counts=str(counts)).outputs() == (1,)
    wait_for_the_end_of_processes(counts)


def test_ctrl_c_ends_the_processes_of_a_run_and_flyte_ray_shows_by_whom(
    ray_address: str, ray_root: Path, counts: Path
) -> None:
    place = ["--root", str(ray_root)]
    command = [*CLI, "submit", *place, "--address", ray_address, "--name", "with-processes", cancelled.__file__]
    command += ["waits_for_a_process", "--counts", str(counts)]
    process = subprocess.Popen(command, env=ray_environ(), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(processes(counts)) == 3, "it started no processes")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    wait_for_the_end_of_processes(counts)
    show = [*CLI, "get", "action", *place, "-o", "json", "with-processes"]
    (row,) = json.loads(subprocess.check_output(show, env=ray_environ(), text=True))
    assert (row["phase"], row["aborted_by"], row["error"]) == ("aborted", current_user(), "interrupted by Ctrl-C")
