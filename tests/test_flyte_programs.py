"""Programs that were written for Flyte run as they are: `import flyte` means this package inside the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PROGRAMS = TOP / "tests" / "flyte_programs"
RESULTS: dict[str, tuple[tuple[str, ...], object]] = {
    "hello_map": (("--n", "5"), 30),
    "async_fan_out": (("--words", '["a", "bc"]'), "A BC"),
    "retrying": ((), "2 NonRecoverableError"),
    "cached": ((), True),
    "traced": ((), [2.0, 12.0, 1.0]),
    "typed": ((), {"points": 2, "sum": 10, "note": 0}),
    "files": ((), 12),
    "overriding": ((), 3),
    "reporting": ((), "blue"),
    "script": (("--x", "1"), 2),
}


def run_python(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(TOP), "FLYTE_RAY_ROOT": str(folder / "root"), **variables}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def test_there_are_ten_of_them() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.py")} == set(RESULTS) and len(RESULTS) == 10
    assert not any("flyte_ray" in path.read_text() for path in PROGRAMS.glob("*.py"))


@pytest.mark.parametrize("name", RESULTS)
def test_a_program_for_flyte_runs_unchanged(name: str, tmp_path: Path) -> None:
    words, expected = RESULTS[name]
    command = ("-m", "flyte_ray.cli.main", "submit", "--flyte", "--local", "-o", "json")
    done = run_python(*command, str(PROGRAMS / f"{name}.py"), "main", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == expected


def test_a_program_that_starts_its_runs_itself_needs_a_line_before_it(tmp_path: Path) -> None:
    line = "from flyte_ray.runtime.aliases import stand_in_for_flyte; stand_in_for_flyte()"
    program = f"{line}; import runpy; runpy.run_path({str(PROGRAMS / 'script.py')!r}, run_name='__main__')"
    done = run_python("-c", program, folder=tmp_path, FLYTE_RAY_AS_FLYTE="1")
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr


def test_without_the_option_flyte_is_not_there(tmp_path: Path) -> None:
    command = ("-m", "flyte_ray.cli.main", "submit", "--local", str(PROGRAMS / "hello_map.py"), "main")
    done = run_python(*command, folder=tmp_path)
    assert (done.returncode, "No module named 'flyte'" in done.stderr) == (2, True)


def test_a_run_that_is_resumed_elsewhere_still_finds_flyte(tmp_path: Path) -> None:
    command = ("-m", "flyte_ray.cli.main")
    program = str(PROGRAMS / "retrying.py")
    first = run_python(*command, "submit", "--flyte", "--local", "--name", "one", program, "hopeless", folder=tmp_path)
    assert first.returncode == 1
    again = run_python(*command, "resume", "one", folder=tmp_path)
    assert (again.returncode, "No module named" in again.stderr) == (1, False)
    assert "never" in again.stderr
