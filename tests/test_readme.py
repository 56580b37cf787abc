"""What the README shows runs as it stands there, and names the versions that the tests run on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_program_runs_as_a_script_and_by_the_command_that_is_shown(tmp_path: Path) -> None:
    program = blocks("python")[0]
    assert len([line for line in program.splitlines() if line]) <= 20
    (tmp_path / "hello.py").write_text(program)
    shown = next(line for line in README.splitlines() if line.startswith("flyte-ray submit --local"))
    words = [*shown.partition("#")[0].split()[1:], "--n", "4"]
    for command, output in (["hello.py"], "(328350,)"), (["-m", "flyte_ray.cli.main", *words], "14"):
        assert output in run_python(command, tmp_path)


def run_python(words: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(TOP), "FLYTE_RAY_ROOT": str(folder / "root")}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_task_may_declare_runs_and_its_outcome_is_kept(tmp_path: Path) -> None:
    (tmp_path / "durable.py").write_text(blocks("python")[1])
    first, second = (run_python(["durable.py"], tmp_path) for _ in range(2))
    assert first == second  # a random number, of which the second one is the kept first


def test_who_is_told_of_an_end_is_named_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "notified.py").write_text(blocks("python")[2])
    assert run_python(["notified.py"], tmp_path) == "(2,)\n"


def test_only_versions_that_the_tests_ran_on_are_named() -> None:
    named = re.search(r"The tests ran on Python ([\d.]+)\s+with Ray ([\d.]+\d)", README)
    assert named is not None
    assert named[2] == version("ray")
