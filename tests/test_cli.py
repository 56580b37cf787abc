"""The command line, as a user sees it: grammar, outcomes, exit codes, what is said about wrong input."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.cli.main import VERBS, main
from flyte_ray.ledger.messages import read_ref

PROGRAM = '''
    import os, sys
    import threading
    from typing import Any
    import flyte_ray as flyte

    other = flyte.TaskEnvironment("other", resources=flyte.Resources(cpu=2))
    env = flyte.TaskEnvironment("demo", depends_on=[other])

    @env.task
    def triple(x: int, note: str = "none", loud: bool = False) -> int:
        """Triple a number.

        Nobody knows why.
        """
        print("note", note, loud)
        return 3 * x

    @env.task
    def named(name: str, root: str = "mine", output: str = "o") -> str:
        return f"{name} {root} {output}"

    @env.task
    def variable() -> str:
        return os.environ["FLYTE_RAY_TEST_VARIABLE"]

    @env.task
    def two() -> tuple[int, str]:
        return 1, "b"

    @env.task
    def divide(x: int) -> int:
        return helper(x)

    def helper(x):
        return 1 // x

    @env.task
    def failing() -> int:
        return divide(0)

    @env.task
    def catching() -> int:
        try:
            return divide(0)
        except Exception:
            raise KeyError("another") from None

    @env.task(retries=1)
    def hiccup(once: bool = True) -> int:
        if flyte.ctx().attempt_number == 0 or not once:
            raise ConnectionError("feature store hiccup")
        return 1

    @env.task
    def unstorable() -> int:
        return threading.Lock()
'''


class Cli:
    """Calls commands on one root and one program."""

    def __init__(self, folder: Path) -> None:
        self.root, self.program = folder / "root", folder / "demo.py"
        self.program.write_text(textwrap.dedent(PROGRAM))

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(main, words, prog_name="flyte-ray")

    def submit(self, *words: str, options: tuple[str, ...] = ()) -> Result:
        return self("submit", "--local", "--root", str(self.root), *options, str(self.program), *words)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    for name in ("RAY_ADDRESS", "FLYTE_RAY_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield Cli(tmp_path)
    flyte.init()  # what commands have set would apply to other tests


def test_only_the_verbs_that_exist_are_listed(cli: Cli) -> None:
    text = cli("--help").output
    assert [line.split()[0] for line in text.split("Commands:\n")[1].splitlines()] == sorted(VERBS)
    text = cli("get", "--help").output
    nouns = [line.split()[0] for line in text.split("Commands:\n")[1].splitlines()]
    assert nouns == sorted(nouns)
    assert {"action", "cluster", "code", "config", "io", "logs", "run", "token"} <= set(nouns)


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_says_of_each_what_itself_does(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert (command.name, command.short_help) == (name, VERBS[name].about)


def test_a_verb_that_does_not_exist_has_the_nearest_one_suggested(cli: Cli) -> None:
    result = cli("sumbit")
    assert (result.exit_code, "No such verb 'sumbit'. Did you mean 'submit'?" in result.stderr) == (2, True)
    assert "There are: abort, " in cli("zzz").stderr


def test_what_should_not_happen_is_said_in_a_sentence_and_shown_by_vv(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_ray.cli.reading.describe_runs", lambda *_: 1 / 0)
    quiet = cli("get", "run", "--root", str(cli.root))
    assert (quiet.exit_code, "Traceback" in quiet.stderr) == (1, False)
    assert "This should not happen: ZeroDivisionError: division by zero" in quiet.stderr
    loud = cli("get", "run", "-vv", "--root", str(cli.root))
    assert (loud.exit_code, "Traceback" in loud.stderr) == (1, True)


def test_a_file_without_a_task_lists_its_tasks(cli: Cli) -> None:
    lines = cli("submit", str(cli.program)).output.splitlines()
    assert lines[0] == "triple      Triple a number.  --x INTEGER [--note TEXT] [--loud]"
    assert [line.split()[0] for line in lines] == [
        *("triple", "named", "variable", "two", "divide", "failing", "catching", "hiccup", "unstorable")
    ]
    assert json.loads(cli("submit", "-o", "json", str(cli.program)).output)[3] == {
        "task": "two",
        "parameters": "",
        "about": "",
    }


def test_help_behind_a_task_shows_its_types_defaults_and_docstring(cli: Cli) -> None:
    done = cli.submit("triple", "--help")
    assert done.exit_code == 0
    assert "Nobody knows why." in done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert {"--x INTEGER [required]", "--note TEXT [default: none]", "--loud / --no-loud [default: False]"} <= {*lines}


def test_a_run_ends_with_its_outputs_and_the_way_to_look_at_it(cli: Cli) -> None:
    done = cli.submit("triple", "--x", "3", options=("--name", "first"))
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "note none False",
            f"Run first: succeeded  file://{cli.root}/runs/first",
            "o0 = 9",
            f"Look at it: flyte-ray get action first --root {cli.root}",
        ],
    )


def test_each_element_of_a_returned_tuple_is_an_output(cli: Cli) -> None:
    assert "o0 = 1\no1 = 'b'\n" in cli.submit("two").stdout


def test_with_json_stdout_holds_the_result_alone(cli: Cli) -> None:
    done = cli.submit("triple", "--x", "3", "--loud", "-o", "json", "--name", "first")
    url = f"file://{cli.root}/runs/first"
    assert json.loads(done.stdout) == {"run": "first", "phase": "succeeded", "url": url, "result": 9}
    assert "note none True" in done.stderr.splitlines()  # a slow run tells how it stands besides


def test_options_behind_the_task_are_ours_unless_the_task_has_such_a_parameter(cli: Cli) -> None:
    done = cli.submit("named", "--name", "a", "--root", "b", "--output=c", "--label", "k=v")
    assert "o0 = 'a b c'" in done.stdout
    assert f"file://{cli.root}/runs" in done.stdout
    done = cli.submit("triple", "--x", "3", "--loud", "-v", "--name", "late", "--note", "-v")
    assert "note -v True\nRun late: succeeded" in done.stdout


def test_options_may_stand_between_the_file_and_its_task(cli: Cli) -> None:
    done = cli("submit", str(cli.program), "--local", "--root", str(cli.root), "-ojson", "two")
    assert json.loads(done.stdout)["result"] == [1, "b"]


def test_the_command_line_wins_over_what_the_file_itself_sets_up(cli: Cli) -> None:
    setup = f"\nflyte.init(root={str(cli.root.with_name('own'))!r})\n"
    cli.program.write_text(textwrap.dedent(PROGRAM) + setup)
    assert f"file://{cli.root}/runs/one" in cli.submit("two", "--name", "one").stdout
    done = cli("submit", "--local", "--name", "one", str(cli.program), "two")
    assert f"file://{cli.root.with_name('own')}/runs/one" in done.stdout


def test_a_file_without_tasks_says_so(cli: Cli) -> None:
    cli.program.write_text("x = 1\n")
    done = cli("submit", str(cli.program))
    assert (done.exit_code, done.stdout) == (0, f"{cli.program} has no tasks. Decorate a function with @env.task.\n")


def test_labels_are_shown_with_the_run(cli: Cli) -> None:
    cli.submit("triple", "--x", "3", "--label", "team=blue", options=("--name", "first", "--label", "a=b"))
    (row,) = json.loads(cli("get", "run", "-o", "json", "--root", str(cli.root), "first").stdout)
    assert row["labels"] == {"a": "b", "team": "blue"}
    assert "a=b, team=blue" in cli("get", "run", "--root", str(cli.root)).stdout


def test_variables_reach_a_local_run(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_RAY_TEST_VARIABLE", "before")
    assert "o0 = 'a=b'" in cli.submit("variable", "--env", "FLYTE_RAY_TEST_VARIABLE=a=b").stdout


def test_a_dry_run_shows_options_and_bundle_and_runs_nothing(cli: Cli) -> None:
    done = cli.submit("triple", "--x", "3", "--dry-run", "--env", "A=1")
    assert done.stdout.startswith('Environment demo: {\n  "num_cpus": 1')
    assert "Environment other: " in done.stdout
    assert f"Code bundle: 1 file, {cli.program.stat().st_size:,} bytes" in done.stdout
    plan = json.loads(cli.submit("triple", "--x", "3", "--dry-run", "-o", "json", "--env", "A=1").stdout)
    assert plan["files"] == [{"path": "demo.py", "bytes": cli.program.stat().st_size}]
    assert plan["environments"]["other"]["num_cpus"] == 2
    assert plan["environments"]["demo"]["runtime_env"]["env_vars"]["A"] == "1"
    assert not cli.root.exists()


def test_a_failed_run_shows_the_users_traceback_through_all_its_tasks(cli: Cli) -> None:
    done = cli.submit("failing")
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("    ")]
    places = [line.rpartition(" in ")[2] for line in lines[:-1]]
    assert all(line.startswith(f'  File "{cli.program}"') for line in lines[:-1])
    assert (places, lines[-1]) == (
        ["failing", "divide", "helper"],
        "ZeroDivisionError: integer division or modulo by zero",
    )


def test_an_error_that_was_replaced_is_not_traced_into_the_child(cli: Cli) -> None:
    done = cli.submit("catching")
    assert done.exit_code == 1
    assert "in catching" in done.stderr and "KeyError: 'another'" in done.stderr
    assert "in divide" not in done.stderr


def test_a_failed_run_is_json_too(cli: Cli) -> None:
    done = cli.submit("failing", "-o", "json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["phase"], answer["error"]["code"]) == ("failed", "ZeroDivisionError")


def test_a_value_that_cannot_be_stored_fails_the_run_and_names_the_task(cli: Cli) -> None:
    done = cli.submit("unstorable")
    assert done.exit_code == 1
    assert "task 'demo.unstorable', variable 'o0': Expected int but got lock" in done.stderr


Call = Callable[[Cli], Result]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda cli: cli.submit("triple", "--x", "abc"), "Invalid value for '--x': expected INTEGER, got 'abc'"),
        (lambda cli: cli.submit("triple"), "Missing option '--x'"),
        (lambda cli: cli.submit("triple", "--y", "3"), "No such option '--y'"),
        (lambda cli: cli.submit("tripel"), "got 'tripel'. It has: triple, named"),
        (lambda cli: cli("submit", "nowhere.py", "f"), "File 'nowhere.py' does not exist"),
        (lambda cli: cli.submit("triple", "--x", "3", "--name", "No Name"), "A run's name must be 1 to 63 characters"),
        (lambda cli: cli.submit("triple", "--x", "3", "--env", "A"), "expected KEY=VALUE, got 'A'"),
        (lambda cli: cli.submit("triple", "--x", "3", "--detach"), "--detach needs a cluster that goes on"),
        (lambda cli: cli("submit", "--detach", str(cli.program), "two"), "--detach needs a cluster that goes on"),
        (lambda cli: cli("get", "run", "--root", str(cli.root), "nope"), "should hold a run 'nope', but does not"),
        (lambda cli: cli("submit", "--bogus", str(cli.program), "two"), "No such option '--bogus'"),
        (lambda cli: cli("submit", str(cli.program), "--bogus", "two"), "No such option '--bogus'"),
        (lambda cli: cli("submit", "--address", "127.0.0.1:1", str(cli.program), "two"), "127.0.0.1:1"),
        (lambda cli: cli("get", "run", "--root", str(cli.program)), "A root names a folder or a bucket, got the file"),
        (lambda cli: cli("get", "condition"), "Missing argument 'RUN'"),
        (lambda cli: cli("signal", "condition", "--root", str(cli.root), "a", "b", "1"), "should hold a run 'a', but"),
        (lambda cli: cli("abort", "--root", str(cli.root), "nope"), "should hold a run 'nope', but does not"),
    ],
)
def test_wrong_usage_is_named_in_a_sentence_and_exits_2(cli: Cli, call: Call, said: str) -> None:
    done = call(cli)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not cli.root.exists()


def test_an_unwritable_root_is_named(cli: Cli) -> None:
    blocked = cli.root.parent / "file"
    blocked.write_text("not a folder")
    done = cli.submit("two", "--root", str(blocked / "root"))
    assert done.exit_code == 1
    assert f"The root file://{blocked}/root should be writable, but" in done.stderr


def test_two_runs_of_one_name_are_refused(cli: Cli) -> None:
    assert cli.submit("two", "--name", "same").exit_code == 0
    done = cli.submit("two", "--name", "same")
    assert done.exit_code == 2
    assert "Choose another name, or continue that one with 'flyte-ray resume same'" in done.stderr


def test_a_file_of_a_package_is_imported_as_a_part_of_it(cli: Cli) -> None:
    package = cli.program.with_name("packed")
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "beside.py").write_text("x = 7\n")
    program = "from .beside import x\nimport beside\n" + BESIDE  # also as a script would
    (package / "flow.py").write_text(program)
    done = cli("submit", "--local", "--root", str(cli.root), str(package / "flow.py"), "main")
    assert "o0 = 'packed.flow 7 7'" in done.stdout, done.stderr
    (package / "__init__.py").write_text("1 / 0\n")
    del sys.modules["packed"], sys.modules["packed.flow"]
    done = cli("submit", "--local", "--root", str(cli.root), str(package / "flow.py"), "main")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[1] == f'  File "{package / "__init__.py"}", line 1, in <module>'


BESIDE = """
import flyte_ray as flyte
env = flyte.TaskEnvironment("packed")

@env.task
def main() -> str:
    return f"{__name__} {x} {beside.x}"
"""


def test_a_task_and_its_overrides_are_called_by_the_names_of_their_variables(cli: Cli) -> None:
    cli.program.write_text(
        textwrap.dedent("""
            import flyte_ray as flyte
            env = flyte.TaskEnvironment("names")

            @env.task
            def work() -> int:
                return 1

            again = work
            patient = work.override(retries=3)

            def plain() -> int:
                return 2

            other = env.task(plain)
        """)
    )
    rows = json.loads(cli.submit(options=("-o", "json")).stdout)
    assert [row["task"] for row in rows] == ["work", "patient", "other"]
    assert "o0 = 2" in cli.submit("plain").stdout  # by its function's name
    for name, retries in {"work": 0, "patient": 3}.items():
        assert cli.submit(name, "--name", name).exit_code == 0
        flyte.init(root=cli.root)
        (ref,) = flyte.remote.Run.get(name).state().tasks.values()
        assert read_ref(ref).retries == retries


@pytest.mark.parametrize(
    ("code", "frames", "last"),
    [
        ("import nosuchmodule", 1, "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("import broken_part", 2, "ZeroDivisionError: division by zero"),
        ("def (", 1, "SyntaxError: invalid syntax"),
        ("import sys\nsys.exit(0)", 1, "SystemExit: 0"),
        ("env = flyte.TaskEnvironment('Bad Name')", 1, "Environment name 'Bad Name' must be in snake_case or kebab"),
        ("env = flyte.TaskEnvironment('a')\n@env.task\ndef f(*args: int) -> int: ...", 1, "got '*args' in 'f'"),
    ],
)
def test_a_file_that_does_not_import_shows_the_users_traceback_and_exits_2(
    cli: Cli, code: str, frames: int, last: str
) -> None:
    cli.program.with_name("broken_part.py").write_text("x = 1 / 0\n")
    cli.program.write_text(f"import flyte_ray as flyte\n{code}\n")
    done = cli.submit("f")
    assert done.exit_code == 2
    first, *rest = done.stderr.splitlines()
    assert first == f"Error: {cli.program} does not import:"
    assert rest[0].startswith(f'  File "{cli.program}", line ')
    assert sum(line.startswith("  File ") for line in rest) == frames
    assert last in done.stderr


def test_what_a_root_holds_can_be_read(cli: Cli) -> None:
    cli.submit("failing", "--name", "bad")
    root = ("--root", str(cli.root))
    (run,) = json.loads(cli("get", "run", *root, "-o", "json").stdout)
    assert (run["name"], run["phase"], run["task"], run["actions"]) == ("bad", "failed", "demo.failing", {"failed": 2})
    rows = json.loads(cli("get", "action", *root, "-o", "json", "bad").stdout)
    assert [(row["phase"], row["task"]) for row in rows] == [("failed", "demo.failing"), ("failed", "demo.divide")]
    table = cli("get", "action", *root, "bad", rows[1]["id"]).stdout.splitlines()
    assert table[0].split() == ["ID", "PARENT", "PHASE", "TASK", "ATTEMPTS", "SECONDS", "ERROR"]
    assert table[1].split()[:5] == [rows[1]["id"], "a0", "failed", "demo.divide", "1"]
    assert json.loads(cli("get", "io", *root, "bad", rows[1]["id"]).stdout)["inputs"] == {"x": 0}
    done = cli("get", "action", *root, "bad", "a9")
    assert done.exit_code == 2
    assert "Expected an action of run 'bad', got 'a9'" in done.stderr


def test_why_attempts_failed_is_shown_with_the_class_of_the_error_and_its_traceback(cli: Cli) -> None:
    def show(run: str, *options: str) -> str:
        return cli("get", "action", "--root", str(cli.root), *options, run, "a0").stdout

    cli.submit("hiccup", "--name", "good")
    cli.submit("hiccup", "--name", "bad", "--no-once")
    error = "ConnectionError: feature store hiccup"
    (row,) = json.loads(show("good", "-o", "json"))
    assert (row["phase"], row["error"]) == ("succeeded", "")
    (failure,) = row["failures"]
    assert (failure["attempt"], failure["outcome"], failure["error"]) == (0, "retried", error)
    assert f"attempt 0 (retried): {error}\n" in show("good")
    told = show("bad")
    assert f"attempt 0 (retried): {error}\n" in told and f"attempt 1 (failed): {error}\n" in told
    assert f'File "{cli.program}"' in told and told.endswith(f"\n{error}\n")


def test_the_class_of_an_error_is_named(cli: Cli) -> None:
    cli.submit("catching", "--name", "caught")
    (root, _) = json.loads(cli("get", "action", "--root", str(cli.root), "-o", "json", "caught").stdout)
    assert root["error"] == "KeyError: 'another'"


def test_what_an_action_printed_can_be_read(cli: Cli) -> None:
    cli.submit("triple", "--x", "3", "--name", "first")
    root = ("--root", str(cli.root))
    assert cli("get", "logs", *root, "first").stdout == "note none False\n"
    cli.submit("two", "--name", "silent")
    assert "Nothing is stored that action a0 of run silent printed." in cli("get", "logs", *root, "silent").stderr
    assert json.loads(cli("get", "logs", *root, "-o", "json", "first").stdout)["text"] == "note none False\n"


@pytest.mark.parametrize("words", [("abort", "one"), ("abort", "run", "one"), ("abort", "action", "one", "a0")])
def test_what_has_ended_cannot_be_aborted(cli: Cli, words: tuple[str, ...]) -> None:
    cli.submit("two", "--name", "one")
    done = cli(*words, "--root", str(cli.root))
    assert done.exit_code == 1
    assert "Action a0 of run 'one' has ended already: succeeded. Nothing was aborted." in done.stderr


def test_a_run_that_succeeded_is_not_continued_but_shown(cli: Cli) -> None:
    cli.submit("two", "--name", "one")
    done = cli("resume", "--root", str(cli.root), "one")
    assert done.exit_code == 0
    assert "has succeeded already" in done.stderr
    assert "o0 = 1\no1 = 'b'\n" in done.stdout


def test_a_failed_run_is_resumed(cli: Cli) -> None:
    cli.submit("variable", "--name", "one")
    done = cli("resume", "--root", str(cli.root), "one")
    assert done.exit_code == 1, "it fails again"
    assert "KeyError: 'FLYTE_RAY_TEST_VARIABLE'" in done.stderr
