"""A script that Ctrl-C ends, and an error that ends one, say which run it was and how to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flyte_ray.api import awaiting, interrupting
from flyte_ray.api.interrupting import leave_or_abort
from flyte_ray.api.run import Run
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

PROGRAM = """
    import sys, time
    import flyte_ray as flyte

    env = flyte.TaskEnvironment("long")

    @env.task
    def slow() -> int:
        print("begun", flush=True)
        time.sleep(600)
        return 1

    @env.task
    def divide(by: int) -> float:
        return 1 / by

    @env.task
    def asks(by: int) -> float:
        return divide(by)

    flyte.init(root=sys.argv[1])
    if sys.argv[2] == "slow":
        flyte.with_runcontext(name="mine").run(slow)
    if sys.argv[2] == "asks":
        flyte.with_runcontext(name="fails").run(asks, 0).outputs()
"""


def started(folder: Path, what: str) -> subprocess.Popen[str]:
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, str(program), str(folder / "root"), what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_script_that_ctrl_c_ends_names_its_run_and_how_to_go_on(tmp_path: Path) -> None:
    process = started(tmp_path, "slow")
    assert process.stdout and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].splitlines()[-1]
    resume = f"flyte-ray resume mine --root {tmp_path / 'root'}"
    assert said == f"KeyboardInterrupt: run mine was stopped. Continue it: {resume}"


def test_who_stops_waiting_for_a_run_is_told_how_to_abort_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    run = Run(open_store(str(tmp_path)), "mine")
    monkeypatch.setattr(awaiting, "load_state", press)  # where a wait is, some of the time
    for wait in (run.wait, run.outputs):
        with pytest.raises(KeyboardInterrupt, match="^run mine goes on without this. Abort it: flyte-ray abort mine"):
            wait()


def test_an_error_that_ends_a_script_shows_the_users_file_and_the_errors_class(tmp_path: Path) -> None:
    _, said = started(tmp_path, "asks").communicate(timeout=120)
    first, _, rest = said.partition("The above exception was the direct cause")
    assert f'File "{tmp_path / "program.py"}", line 15, in divide\n    return 1 / by\n' in first
    assert "in asks\n" in first and "flyte_ray/" not in first and "ZeroDivisionError: division by zero" in first
    assert rest.rstrip().splitlines()[-2] == "flyte_ray.errors.RuntimeUserError: division by zero"
    assert "ZeroDivisionError in task long.divide, action " in rest.rstrip().splitlines()[-1]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("y", "run mine was stopped. Continue it: flyte-ray resume mine"),
        ("", "run mine goes on without this. Abort it: flyte-ray abort mine"),
        (None, "run mine goes on without this."),
    ],
)
def test_who_stops_waiting_in_a_notebook_is_asked_if_he_can_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str | None, told: str
) -> None:
    def ask(question: str) -> str:
        assert question == "Abort run mine, which goes on otherwise? [y/N] "
        if answer is None:
            raise NotImplementedError  # as IPython's input does where the front end takes none
        return answer

    aborted: list[object] = []
    monkeypatch.setattr(interrupting, "abort_action", lambda store, run, *_: aborted.append(run))
    monkeypatch.setattr(interrupting, "kernel_shell", object)
    monkeypatch.setattr("builtins.input", ask)
    assert str(leave_or_abort(open_store(str(tmp_path)), RunId("mine"))).startswith(told)
    assert aborted == (["mine"] if answer == "y" else [])
