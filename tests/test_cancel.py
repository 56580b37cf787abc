"""What is stopped, how, and what is recorded of it, in the user's process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import RuntimeUserError
from flyte_ray.remote import Action
from flyte_ray.runtime.user import current_user
from tests import cancelled
from tests.cancelled import lives, processes, wait_until


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path / "root")
    return tmp_path


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    return tmp_path / "counts"


def abort_when(counts: Path, text: str, run: str, reason: str) -> threading.Thread:
    """Abort a run from another thread, as soon as a text was noted."""

    def wait_and_abort() -> None:
        wait_until(lambda: counts.exists() and text in counts.read_text(), f"{text!r} never appeared")
        flyte.Run.get(run).abort(reason)

    thread = threading.Thread(target=wait_and_abort)
    thread.start()
    return thread


def endings(run: str) -> dict[str, tuple[str, object]]:
    """How the actions of a run ended, by task: phase, and why and by whom they were aborted."""
    return {each.task_name.partition(".")[2]: (each.phase.value, each.abort_info) for each in Action.listall(run)}


def test_an_abort_is_recorded_with_its_reason_and_by_whom_in_the_whole_tree(counts: Path) -> None:
    thread = abort_when(counts, "began", "one", "enough")
    run = flyte.with_runcontext(name="one").run(cancelled.sleeps_below, counts=str(counts))
    thread.join()
    aborted = ("aborted", ("enough", current_user()))
    assert endings(run.name) == {"sleeps_below": aborted, "sleeps": aborted}
    assert "cleaned up" in counts.read_text()


def test_cancelling_the_task_that_awaits_a_call_aborts_the_child_and_all_below_it(counts: Path) -> None:
    run = flyte.run(cancelled.gives_up_a_call, counts=str(counts))
    assert run.outputs() == ("went on",)
    aborted = ("aborted", ("its parent cancelled it", "action a0"))
    assert endings(run.name) == {"gives_up_a_call": ("succeeded", None), "sleeps_below": aborted, "sleeps": aborted}
    assert "cleaned up" in counts.read_text()


def test_a_root_that_ends_while_children_run_aborts_them(counts: Path) -> None:
    run = flyte.run(cancelled.ends_before_its_child, counts=str(counts))
    assert run.outputs() == ("done",)
    aborted = ("aborted", ("its parent ended", "action a0"))
    assert endings(run.name) == {
        "ends_before_its_child": ("succeeded", None),
        "sleeps_below": aborted,
        "sleeps": aborted,
    }


def test_code_that_gives_itself_up_is_on_record_as_who_did_it() -> None:
    run = flyte.run(cancelled.gives_itself_up)
    assert endings(run.name) == {"gives_itself_up": ("aborted", ("not today", "its own code"))}


def test_a_run_that_another_process_executes_is_aborted_there_and_that_is_said(root: Path, counts: Path) -> None:
    code = "import sys, flyte_ray as flyte; from tests import cancelled; flyte.init(root=sys.argv[1]);"
    code += "flyte.with_runcontext('local', name='there').run(cancelled.sleeps_below, counts=sys.argv[2])"
    process = subprocess.Popen([sys.executable, "-c", code, str(root / "root"), str(counts)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: counts.exists() and "began" in counts.read_text(), "it does not begin")
        run = flyte.Run.get("there")
        with pytest.raises(RuntimeUserError, match=f"Nothing was aborted. .* in local mode.* kill -INT {process.pid}"):
            run.abort()
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert run.phase.value == "aborted"
    finally:
        process.kill()
        process.wait()


def test_aborting_what_has_ended_says_so() -> None:
    run = flyte.run(cancelled.gives_itself_up)
    with pytest.raises(RuntimeUserError, match="has ended already: aborted. Nothing was aborted"):
        run.abort()


@pytest.mark.parametrize("task", [cancelled.waits_for_a_process, cancelled.waits_for_a_process_later])
def test_the_processes_of_an_aborted_action_end_with_it(task: flyte.TaskTemplate, counts: Path) -> None:
    thread = abort_when(counts, "process", "one", "enough")
    flyte.with_runcontext(name="one").run(task, counts=str(counts))
    thread.join()
    wait_until(lambda: not any(lives(process) for process in processes(counts)), "a process goes on")


@pytest.mark.parametrize("is_async", [False, True])
def test_the_processes_of_its_parent_go_on(counts: Path, is_async: bool) -> None:
    assert flyte.run(cancelled.keeps_its_own_process, counts=str(counts), is_async=is_async).outputs() == ("lives",)
