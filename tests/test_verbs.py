"""The verbs around runs, in local mode: doctor, get code, delete run, --watch, --follow, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.api.config import Config, use
from flyte_ray.cli import completing, doctor, reading, watching
from flyte_ray.cli.main import main
from flyte_ray.cluster.lasting import RECORD, find_lasting
from flyte_ray.ledger.origin import name_process

PROGRAM = """
    import flyte_ray as flyte
    import not_there_for_completion_to_import

    env = flyte.TaskEnvironment("verbs", cache="auto")

    @env.task
    def double(number: int, note: str = "none") -> int:
        print("doubling", number)
        return 2 * number

    @env.task(retries=1)
    async def longer(*, seconds: float = 1.0) -> None:
        pass

    def helper(x: int) -> int:
        return x
"""

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Calls commands in a folder with a program, on a root and with a home of their own."""
    for name in ("RAY_ADDRESS", "FLYTE_RAY_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = textwrap.dedent(PROGRAM)
    Path("verbs.py").write_text(text)
    Path("runs.py").write_text("".join(line for line in text.splitlines(keepends=True) if "not_there" not in line))
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(watching, "LOOK_S", 0.01)
    monkeypatch.setattr(reading, "LOOK_S", 0.01)
    yield lambda *words: CliRunner().invoke(main, words, prog_name="flyte-ray")
    monkeypatch.undo()
    use(Config())
    flyte.init()


def submit(call: Call, name: str) -> None:
    done = call("submit", "--local", "--name", name, "runs.py", "double", "--number", "2")
    assert done.exit_code == 0, done.output


def test_the_code_of_a_run_is_fetched(call: Call) -> None:
    submit(call, "one")
    done = call("get", "code", "one", "-o", "json")
    about = json.loads(done.stdout)
    assert (about["path"], about["files"]) == ("one", ["runs.py"])
    assert Path("one", "runs.py").read_text() == Path("runs.py").read_text()
    assert call("get", "code", "one", "--no-extract").exit_code == 0
    assert Path("one.zip").read_bytes()[:2] == b"PK"


def test_a_deleted_run_is_gone_with_what_it_kept_for_others(call: Call, tmp_path: Path) -> None:
    submit(call, "one")
    submit(call, "two")
    assert [row["made by"] for row in json.loads(call("get", "cache", "-o", "json").stdout)] == ["one/a0"]
    done = call("delete", "run", "one")
    assert (done.exit_code, done.stdout) == (0, "Deleted run one, and 1 kept outcome with it.\n")
    assert [row["name"] for row in json.loads(call("get", "run", "-o", "json").stdout)] == ["two"]
    assert json.loads(call("get", "cache", "-o", "json").stdout) == []
    assert [path for path in (tmp_path / "root" / "runs" / "one").rglob("*") if path.is_file()] == []


def test_a_run_that_goes_on_is_not_deleted(call: Call, tmp_path: Path) -> None:
    env = flyte.TaskEnvironment("going")
    begun, end = threading.Event(), threading.Event()

    @env.task
    def waits() -> None:
        begun.set()
        end.wait(60)

    flyte.init(root=tmp_path / "root")
    thread = threading.Thread(target=flyte.with_runcontext(mode="local", name="going").run, args=(waits,))
    thread.start()
    assert begun.wait(60)
    refused = call("delete", "run", "going")
    end.set()
    thread.join()
    assert (refused.exit_code, "must have ended" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ("get", "action", "onne"),
        ("get", "run", "onne"),
        ("get", "io", "onne"),
        ("get", "logs", "onne"),
        ("get", "code", "onne"),
        ("get", "report", "onne"),
        ("get", "condition", "onne"),
        ("delete", "run", "onne"),
        ("abort", "onne"),
        ("resume", "onne"),
        ("rerun", "onne"),
        ("signal", "condition", "onne", "name", "true"),
    ],
    ids=" ".join,
)
def test_a_run_that_does_not_exist_has_the_nearest_one_suggested(call: Call, words: tuple[str, ...]) -> None:
    submit(call, "one")
    done = call(*words)
    assert (done.exit_code, "Did you mean 'one'?" in done.stderr) == (2, True), done.output


def test_a_task_or_an_action_that_does_not_exist_has_the_nearest_one_suggested(call: Call) -> None:
    submit(call, "one")
    assert "It has: double, longer. Did you mean 'double'?" in call("submit", "runs.py", "duoble").stderr
    assert "Did you mean 'a0'?" in call("get", "action", "one", "a00").stderr


def test_what_is_watched_is_shown_until_it_has_ended(call: Call) -> None:
    submit(call, "one")
    for words in (("run", "one"), ("action", "one"), ("action", "one", "a0")):
        done = call("get", *words, "--watch", "-o", "json")
        assert (done.exit_code, json.loads(done.stdout)[0]["phase"]) == (0, "succeeded")


def test_a_list_is_shown_anew_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = iter(["a", "a", "b", "b"])
    ends = iter([False, False, False, True])

    def body() -> bool:
        print(next(shown))
        return next(ends)

    watching.watchable(body)(watch=True)
    assert capsys.readouterr().out == "a\nb\n"


def test_logs_are_followed_to_the_end_of_their_action(call: Call) -> None:
    submit(call, "one")
    done = call("get", "logs", "one", "--follow")
    assert (done.exit_code, done.stdout) == (0, "doubling 2\n")


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ((), "sub", ["submit"]),
        (("submit", "verbs.py"), "", ["double", "longer"]),
        (("submit", "verbs.py"), "do", ["double"]),
        (("submit", "verbs.py", "double"), "--", ["--number", "--note"]),
        (("submit", "--local", "verbs.py", "longer"), "--s", ["--seconds"]),
        (("submit", "verbs.py", "double"), "--lo", ["--local"]),
        (("submit", "nowhere.py"), "", []),
        (("get", "action"), "on", ["one"]),
        (("get", "action"), "x", []),
    ],
)
def test_words_are_completed(call: Call, words: tuple[str, ...], incomplete: str, expected: list[str]) -> None:
    submit(call, "one")
    found = ShellComplete(main, {}, "flyte-ray", "_X").get_completions(list(words), incomplete)
    assert [item.value for item in found] == expected


@pytest.mark.parametrize("shell", completing.SHELLS)
def test_a_shell_is_told_how_to_complete(call: Call, shell: str) -> None:
    done = call("completion", shell)
    assert (done.exit_code, "_FLYTE_RAY_COMPLETE" in done.stdout) == (0, True)


def test_completion_of_a_task_imports_neither_ray_nor_the_users_file(call: Call) -> None:
    program = (
        "import sys\nfrom click.shell_completion import ShellComplete\nfrom flyte_ray.cli.main import main\n"
        "found = ShellComplete(main, {}, 'flyte-ray', '_X').get_completions(['submit', 'verbs.py'], 'do')\n"
        "print([each.value for each in found], 'ray' in sys.modules, 'verbs' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "['double'] False False\n"


def test_the_doctor_finds_what_is_well_and_what_is_wrong(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call("doctor", "-o", "json")
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert (done.exit_code, found["root"]["state"], found["ray"]["state"]) == (0, "ok", "ok")
    assert "flyte-ray up" in found["cluster"]["do"]
    monkeypatch.setattr(doctor, "NEEDED", ("no-such-package-of-anybody",))
    (tmp_path / "file").write_text("")
    done = call("doctor", "--root", str(tmp_path / "file"), "--address", "127.0.0.1:1", "-o", "json")
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert (done.exit_code, found["no-such-package-of-anybody"]["do"]) == (1, "pip install no-such-package-of-anybody")
    assert "A root names a folder or a bucket" in found["settings"]["found"] + found.get("root", {}).get("found", "")
    done = call("doctor", "--address", "127.0.0.1:1", "-o", "json")
    found = {row["check"]: row for row in json.loads(done.stdout)}
    assert found["cluster"]["state"] == "wrong"
    assert "A Ray cluster should listen at 127.0.0.1:1" in found["cluster"]["found"]


def test_a_ray_that_has_ended_is_not_taken_for_a_lasting_one(call: Call) -> None:
    path = Path(RECORD).expanduser()
    path.parent.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    record = {"address": "127.0.0.1:1", "dashboard": "", "processes": [{"name": "ray", "pid": ended.pid}]}
    record["processes"][0]["began"] = name_process(os.getpid())  # type: ignore[index]
    path.write_text(json.dumps(record))
    assert find_lasting() is None
    assert call("down").stdout == "No Ray of 'flyte-ray up' runs: nothing to end.\n"
