"""What the command line shows of runs: the tree of their actions, and where a failure began."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flyte_ray.cli.main import main

FLOWS = """
import flyte_ray as flyte

env = flyte.TaskEnvironment("flows")

@env.task
def divide(x: int) -> float:
    return 1 / x

@env.task
def main() -> float:
    return divide(2) + divide(0)
"""
Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command in a folder with a file, `flows.py`, and with a root."""
    (tmp_path / "flows.py").write_text(FLOWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    return lambda *words: CliRunner().invoke(main, words, prog_name="flyte-ray")


def test_actions_stand_below_their_callers_and_are_picked_by_phase(call: Call) -> None:
    failed = call("submit", "--local", "--name", "bad", "flows.py", "main")
    first, _, last = json.loads(call("get", "action", "-o", "json", "bad").stdout)
    assert (first["parent"], last["parent"], last["phase"]) == (None, "a0", "failed")
    assert f"Caused by task flows.divide: flyte-ray get action bad {last['id']}\n" in failed.stdout
    _, above, *below = call("get", "action", "bad").stdout.splitlines()
    assert ("  flows.main " in above, ["    flows.divide " in line for line in below]) == (True, [True, True])
    cut = call("get", "action", "bad", "--limit", "1")
    assert len(cut.stdout.splitlines()) == 2
    assert cut.stderr.startswith("1 of 3 actions. All: flyte-ray get action bad --limit 0\n")
    picked = call("get", "action", "bad", "--phase", "succeeded").stdout.splitlines()
    assert [line.split()[1:4] for line in picked] == [["PARENT", "PHASE", "TASK"], ["a0", "succeeded", "flows.divide"]]


def test_tracebacks_in_json_name_the_users_file(call: Call, tmp_path: Path) -> None:
    done = call("submit", "--local", "--name", "bad", "-o", "json", "flows.py", "main")
    told = json.loads(call("get", "io", "bad").stdout)["result"]["traceback"]
    for text in (json.loads(done.stdout)["error"]["traceback"], told):
        assert f'File "{tmp_path}/flows.py", line ' in text


def test_options_of_every_verb_may_stand_in_front_of_it(call: Call, tmp_path: Path) -> None:
    call("submit", "--local", "--name", "one", "flows.py", "divide", "--x", "2")
    (run,) = json.loads(call("-o", "json", "get", "run").stdout)
    assert run["name"] == "one"
    assert call("-o", "json", "get", "run", "-o", "table").stdout.startswith("NAME")
    assert call("--root", str(tmp_path / "other"), "get", "run").stdout == "none\n"


def test_an_option_without_its_value_shows_the_usage_of_the_task(call: Call) -> None:
    done = call("submit", "flows.py", "divide", "--x")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0] == "Usage: flyte-ray submit flows.py divide [OPTIONS]"
    assert done.stderr.splitlines()[-1] == "Error: Option '--x' requires an argument."


def test_hints_name_the_command_as_it_was_called_where_no_path_leads_to_it(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", [".venv/bin/flyte-ray", "submit"])
    monkeypatch.setenv("PATH", str(tmp_path))
    done = call("submit", "--local", "--name", "one", "flows.py", "divide", "--x", "2")
    assert done.stdout.splitlines()[-1] == "Look at it: .venv/bin/flyte-ray get action one"


def test_a_plan_shows_no_variables_of_ours(call: Call) -> None:
    assert "FLYTE_RAY_" not in call("submit", "--dry-run", "flows.py", "main").stdout
