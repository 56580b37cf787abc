"""Plain scripts as tasks, and an action in the debugger."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray import testing
from flyte_ray.errors import InvalidDeclaration, RuntimeUserError

TOP = Path(__file__).parent.parent
SCRIPT = """
    import sys
    from pathlib import Path
    print("args", sys.argv[1:], Path("beside.txt").exists())
    sys.exit(int(sys.argv[1]))
"""
FAILING = """
    import flyte_ray as flyte
    env = flyte.TaskEnvironment("failing")

    @env.task
    def divide(x: int) -> int:
        below = x - 2
        return 1 // below

    @env.task
    def main() -> int:
        return divide(2)
"""
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    (tmp_path / "train.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "beside.txt").write_text("")
    (tmp_path / "failing.py").write_text(textwrap.dedent(FAILING))
    environment = {**os.environ, "PYTHONPATH": str(TOP), "FLYTE_RAY_ROOT": str(tmp_path / "root")}
    environment.pop("RAY_ADDRESS", None)

    def run(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flyte_ray.cli.main", *words],
            cwd=tmp_path,
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    return run


def test_the_exit_code_of_a_script_is_that_of_the_command(call: Call) -> None:
    done = call("submit", "python-script", "train.py", "--local", "--name", "one", "--", "3", "--cpu", "x")
    assert done.returncode == 3, done.stderr
    assert "args ['3', '--cpu', 'x'] False" in done.stdout
    assert "train.py should exit with 0, but exited with 3" in done.stderr
    assert "args ['3'" in call("get", "logs", "one").stdout


def test_a_script_finds_what_travels_with_it(call: Call) -> None:
    done = call("submit", "--local", "python-script", "--include-files", "*.txt", "train.py", "--", "0")
    assert (done.returncode, "args ['0'] True" in done.stdout) == (0, True), done.stderr


def test_a_script_is_run_from_python(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    with testing.temporary_root():
        run = flyte.run_python_script(script, extra_args=["0"], wait=True)
        assert run.outputs() == (0,)
        with pytest.raises(RuntimeUserError, match=r"exited with 5\. See its logs") as caught:
            flyte.run_python_script(script, extra_args=["5"]).outputs()
        assert caught.value.code == "ScriptExit5"
        with pytest.raises(InvalidDeclaration, match="A script should lie at"):
            flyte.run_python_script(tmp_path / "none.py")
        with pytest.raises(InvalidDeclaration, match=r"nothing is there for '\*\.csv'"):
            flyte.run_python_script(script, include_files=["*.csv"])


def test_an_action_that_failed_is_stopped_where_it_fails(call: Call) -> None:
    assert call("submit", "--local", "--name", "one", "failing.py", "main").returncode == 1
    rows = call("get", "action", "one").stdout
    action = next(line.split()[0] for line in rows.splitlines() if "failing.divide" in line)
    done = call("rerun", "one", "--action-name", action, "--local", "--pdb", typed="p below\nq\n")
    assert "return 1 // below" in done.stdout
    assert "(Pdb) 0\n" in done.stdout
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_the_debugger_needs_the_action_in_this_process(call: Call) -> None:
    assert call("submit", "--local", "--name", "one", "failing.py", "main").returncode == 1
    done = call("rerun", "one", "--address", "127.0.0.1:1", "--pdb")
    assert (done.returncode, "--pdb needs the action in this process. Add --local." in done.stderr) == (2, True)
