"""The command line on Ray: what is left on the terminal, what goes on without it, and what ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import workloads
from tests.ray_cluster import ray_environ
from tests.waiting import within

CLI = [sys.executable, "-m", "flyte_ray.cli.main"]
WORKLOADS = str(Path(workloads.__file__))
SPEAKING = """
    import logging, warnings
    import flyte_ray as flyte

    logging.basicConfig(level=logging.INFO)
    env = flyte.TaskEnvironment("speaking")

    @env.task
    def main() -> int:
        print("a word")
        warnings.warn("careful")
        return 1
"""


def test_a_detached_run_is_found_and_aborted_by_name(ray_address: str, ray_root: Path, tmp_path: Path) -> None:
    place = ("--root", str(ray_root), "--address", ray_address)
    counts = tmp_path / "counts"
    words = ("slow_steps", "--n", "2", "--seconds", "600", "--counts", str(counts))
    done = call("submit", *place, "--detach", "--name", "away", WORKLOADS, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "Run away goes on in the cluster."
    within(60)(lambda: counts.exists() and "begin" in counts.read_text())
    aborted = call("abort", "away", *place)
    assert (aborted.returncode, aborted.stdout) == (0, "Aborted run away.\n"), aborted.stderr
    (run,) = json.loads(call("get", "run", *place[:2], "-o", "json", "away").stdout)
    assert (run["phase"], run["actions"]) == ("aborted", {"aborted": 3})


def test_a_ray_of_its_own_leaves_the_users_words_and_warnings_and_none_of_its_own(tmp_path: Path) -> None:
    program = tmp_path / "speaking.py"
    program.write_text(textwrap.dedent(SPEAKING))
    # As on a fresh machine, where Ray makes a token and says so.
    fresh = {name: value for name, value in ray_environ().items() if not name.startswith("RAY_")}
    done = call(
        "submit",
        "--root",
        str(tmp_path / "root"),
        "--name",
        "run-of-mine",
        str(program),
        "main",
        env={**fresh, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    # Ray prints from a thread: its line and ours may meet on one.
    lines = done.stdout.replace("o0 = 1", "\no0 = 1\n").splitlines()
    assert [line.partition(") ")[2] for line in lines if line.startswith("(")] == ["a word"]
    assert "o0 = 1" in lines
    assert done.stderr.startswith("run-of-mine  starting a Ray of its own\n")
    rest = [line for line in done.stderr.splitlines() if line and not line.startswith("run-of-mine  ")]
    assert len([line for line in rest if "UserWarning: careful" in line]) == 1
    # The raylet's own warnings are about the machine's load: they stay.
    assert [line for line in rest if not line.startswith(("(flyte-ray slot ", "(raylet) "))] == []


def test_a_task_that_fails_on_ray_exits_1_and_nothing_of_ray_is_on_the_terminal(
    ray_address: str, ray_root: Path
) -> None:
    done = call("submit", "--root", str(ray_root), "--address", ray_address, "--name", "bad", WORKLOADS, "failing")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, f"Run bad: failed  file://{ray_root}/runs/bad")
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("bad  ")]
    # The file that was submitted, not the slot's copy of it.
    assert lines[0].startswith(f'  File "{WORKLOADS}", line ') and lines[0].endswith("in failing")
    assert lines[1:] == ['    raise ValueError("boom")', "ValueError: boom"]


def test_ctrl_c_aborts_a_run_on_ray_and_exits_130(ray_address: str, ray_root: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    command = [*CLI, "submit", "--root", str(ray_root), "--address", ray_address, "--name", "interrupted", WORKLOADS]
    command += ["slow_steps", "--n", "2", "--seconds", "600", "--counts", str(counts)]
    process = subprocess.Popen(command, env=ray_environ(), stderr=subprocess.PIPE, text=True)
    within(60)(lambda: counts.exists() and "begin" in counts.read_text())
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Interrupted: run interrupted was aborted. Continue it: flyte-ray resume" in told
    (run,) = json.loads(call("get", "run", "--root", str(ray_root), "-o", "json", "interrupted").stdout)
    assert (run["phase"], run["actions"]) == ("aborted", {"aborted": 3})


def call(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *words], env=env or ray_environ(), capture_output=True, text=True, check=False, timeout=120
    )


def test_a_program_for_flyte_and_a_script_run_there_unchanged(ray_address: str, ray_root: Path, tmp_path: Path) -> None:
    place = ("submit", "--root", str(ray_root), "--address", ray_address, "-o", "json")
    program = str(Path(__file__).parent / "flyte_programs" / "hello_map.py")
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint('got', sys.argv[1:])\nsys.exit(len(sys.argv))\n")
    with ThreadPoolExecutor() as side_by_side:
        flytes = side_by_side.submit(call, *place, "--flyte", program, "main", "--n", "5")
        scripts = side_by_side.submit(call, *place, "--name", "exits", "python-script", str(script), "--", "--a", "b")
    assert json.loads(flytes.result().stdout)["result"] == 30, flytes.result().stderr
    assert scripts.result().returncode == 3, scripts.result().stderr
    assert "got ['--a', 'b']" in call("get", "logs", "exits", "--root", str(ray_root)).stdout
