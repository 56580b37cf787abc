"""What is recorded of the user's exceptions: their own frames, and everything that led to them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import NonRecoverableError, RuntimeUserError
from flyte_ray.runtime.failures import describe
from flyte_ray.types.signing import Pickling

env = flyte.TaskEnvironment("failures")
NOTHING: dict[str, str] = {}


@env.task
def fails_for_a_reason() -> None:
    try:
        NOTHING["lost"]
    except KeyError as error:
        raise ValueError("of the child") from error


@env.task
def wraps() -> None:
    try:
        fails_for_a_reason()
    except RuntimeUserError as error:
        raise RuntimeError("outer") from error


def told(func: Callable[[], object]) -> str:
    try:
        func()
    except BaseException as error:
        return str(json.loads(describe(error, Pickling()))["traceback"])
    raise AssertionError("it should fail")


def chained(last: type[Exception] = RuntimeError) -> None:
    try:
        try:
            NOTHING["lost"]
        except KeyError as error:
            raise ValueError("the middle") from error
    except ValueError:
        raise last("the outcome")  # noqa: B904


def test_an_error_is_recorded_with_all_its_causes() -> None:
    lines = told(chained).splitlines()
    assert lines[0].startswith(f'  File "{__file__}", line ')
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "KeyError: 'lost'",
        "The above exception was the direct cause of the following exception:",
        "Traceback (most recent call last):",
        "ValueError: the middle",
        "During handling of the above exception, another exception occurred:",
        "Traceback (most recent call last):",
        "RuntimeError: the outcome",
    ]


def test_an_error_of_ours_that_the_user_raises_keeps_its_causes() -> None:
    assert "KeyError: 'lost'" in told(lambda: chained(NonRecoverableError))


def test_the_failure_of_a_child_is_told_without_its_causes_which_are_on_record_with_it(tmp_path: Path) -> None:
    flyte.init(root=tmp_path)
    text = json.loads(flyte.run(wraps).state().root.result or "")["traceback"]
    assert "RuntimeUserError: of the child" in text and "RuntimeError: outer" in text
    assert "fails_for_a_reason" in text and "KeyError" not in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python has groups of exceptions since 3.11")
def test_all_errors_of_a_group_are_recorded() -> None:
    def fail() -> None:
        try:
            chained()
        except RuntimeError as error:
            raise ExceptionGroup("two of them", [error, ValueError("the other")]) from None  # type: ignore[name-defined]  # noqa: F821

    text = told(fail)
    assert "ExceptionGroup: two of them (2 sub-exceptions)" in text
    assert "ValueError: the other" in text and "KeyError: 'lost'" in text


def test_code_in_a_folder_that_has_our_name_is_the_users(tmp_path: Path) -> None:
    program = tmp_path / "flyte_ray" / "program.py"
    program.parent.mkdir()
    program.write_text("def fail():\n    raise ValueError('boom')\n")
    scope: dict[str, Callable[[], None]] = {}
    exec(compile(program.read_text(), str(program), "exec"), scope)
    assert f'File "{program}", line 2' in told(scope["fail"])
