"""How a run failed is told as if its tasks had been plain functions of the user's file."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from flyte_ray.api.tracebacks import UserTraceback, in_users_files, user_traceback, with_user_traceback
from flyte_ray.errors import RuntimeUserError
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase

DIGEST = "ab" * 32


def failed(name: str, parent: str | None, frames: str, error: str) -> ActionState:
    code, _, message = error.partition(": ")
    body = {"code": code, "message": message, "traceback": f"{frames}{error}\n" if frames else ""}
    return ActionState(name, parent, "w.t", None, "{}", 0, phase=ActionPhase.FAILED, result=json.dumps(body))


def run_of(*actions: ActionState) -> RunState:
    return RunState(RunId("r"), {action.id: action for action in actions})


def test_frames_of_parent_and_child_are_joined_and_the_error_is_told_once() -> None:
    run = run_of(
        failed("a0", None, "  in root\n", "ValueError: boom"),
        failed("other", "a0", "  in other\n", "KeyError: no"),
        failed("child", "a0", "  in child\n", "ValueError: boom"),
    )
    assert user_traceback(run) == "  in root\n  in child\nValueError: boom\n"


@pytest.mark.parametrize(
    "words",
    [
        "The above exception was the direct cause of the following exception",
        "During handling of the above exception, another exception occurred",
    ],
)
def test_the_frames_of_a_parent_stand_above_the_error_and_not_above_its_cause(words: str) -> None:
    heading = "Traceback (most recent call last):\n"
    caused = f"  in looks_up\nKeyError: 1\n\n{words}:\n\n{heading}"
    run = run_of(
        failed("a0", None, "  in root\n", "ValueError: boom"),
        failed("middle", "a0", "  in middle\n", "ValueError: boom"),
        failed("child", "middle", f"{caused}  in child\n", "ValueError: boom"),
    )
    assert user_traceback(run) == f"{heading}{caused}  in root\n  in middle\n  in child\nValueError: boom\n"


def test_an_error_that_holds_those_of_children_is_followed_by_theirs() -> None:
    run = run_of(
        failed("a0", None, "  in root\n  | RuntimeUserError: boom\n  +--\n", "ExceptionGroup: one of them"),
        failed("other", "a0", "  in other\n", "KeyError: no"),
        failed("child", "a0", "  in child\n", "ValueError: boom"),
        failed("below", "child", "  in below\n", "ValueError: boom"),
    )
    own = "  in root\n  | RuntimeUserError: boom\n  +--\nExceptionGroup: one of them\n"
    theirs = "  in child\n  in below\nValueError: boom\n"
    assert user_traceback(run) == f"{own}\nAction child failed with that:\n{theirs}"


def test_an_error_without_frames_is_told_by_name() -> None:
    run = run_of(failed("a0", None, "", "ResourcesUnavailableError: needs 1 GPU"))
    assert user_traceback(run) == "ResourcesUnavailableError: needs 1 GPU\n"


@pytest.mark.parametrize(("inside", "marker"), [("", f"{DIGEST}:"), ("jobs/daily", f"{DIGEST}:jobs/daily:")])
def test_the_copy_in_a_bundle_is_named_as_the_file_that_was_submitted(tmp_path: Path, inside: str, marker: str) -> None:
    source = tmp_path / inside / "work.py"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.touch()
    copy = f"/tmp/codes/{DIGEST}"
    told = f'  File "{copy}/{Path(inside, "work.py")}", line 3\n  File "{copy}/gone.py", line 4\n  File "/x.py", line 5'
    assert in_users_files(told, str(source), marker).splitlines() == [
        f'  File "{source}", line 3',
        f'  File "{copy}/gone.py", line 4',
        '  File "/x.py", line 5',
    ]


def test_code_that_did_not_travel_keeps_its_names() -> None:
    assert in_users_files('  File "/x.py"', "/x.py", None) == '  File "/x.py"'


def test_an_error_shows_the_users_frames_first_and_the_failed_action_last() -> None:
    run = run_of(
        failed("a0", None, "  in root\n", "ValueError: boom"), failed("child", "a0", "  in child\n", "ValueError: boom")
    )
    error = RuntimeUserError("ValueError", "boom")
    error.__cause__ = original = ValueError("boom")
    with_user_traceback(error, run, {"source": "/x.py", "code": None}, "a0")
    assert error.__cause__ is original and isinstance(original.__cause__, UserTraceback)
    told = "".join(traceback.format_exception(error))
    frames = "Traceback (most recent call last):\n  in root\n  in child\nValueError: boom\n"
    assert told.startswith(f"flyte_ray.api.tracebacks.UserTraceback: {frames}\n")
    assert "\nValueError: boom\n\nThe above exception was the direct cause" in told
    assert told.rstrip().splitlines()[-1].startswith("ValueError in task w.t, action child of run r. Look at it: ")
