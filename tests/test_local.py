"""Runs in the user's process, as a user sees them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import flyte_ray as flyte
from flyte_ray.errors import RunAlreadyExistsError, RuntimeUserError
from flyte_ray.ledger.query import load_state
from flyte_ray.runtime.controller import Controller
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

env = flyte.TaskEnvironment("local")
tries: list[int] = []


@env.task
def echoes() -> int:
    click.echo("by click")  # which writes empty bytes first, to find out what the stream takes
    return 1


@env.task
async def echoes_later() -> int:
    click.echo("by click")
    return 1


alone = flyte.TaskEnvironment("alone", reusable=flyte.ReusePolicy(replicas=1))
both = threading.Barrier(2)


@env.task
def meets_another(number: int) -> int:
    both.wait(timeout=60)
    return 1


@alone.task
def waits_for_each_other() -> int:
    return sum(flyte.map(meets_another, range(2), return_exceptions=False))


shared = flyte.TaskEnvironment("shared", reusable=flyte.ReusePolicy(replicas=1, concurrency=20))
here: list[int] = []
all_are_here = asyncio.Event()


@shared.task
async def meets_the_others(number: int) -> int:
    here.append(number)
    if len(here) == 20:
        all_are_here.set()
    await all_are_here.wait()
    return number


@env.task
async def has_them_meet() -> int:
    return sum(await asyncio.gather(*map(meets_the_others, range(20))))


@env.task(retries=1)
def hears_itself() -> int:
    print("half a line, ", end="")
    print("all of it")
    deadline = time.monotonic() + 30
    run = flyte.remote.Run.get(flyte.ctx().run_name)
    while not (said := list(run.get_logs(attempt=flyte.ctx().attempt_number))):
        assert time.monotonic() < deadline, "what it prints is not stored"
        time.sleep(0.05)
    if flyte.ctx().attempt_number == 0:
        raise ValueError("once more")
    return len(said)


@env.task
def prints_much() -> None:
    for number in range(20_000):
        print("line", number)


@env.task
def starts_another() -> str:
    print("before")
    flyte.with_runcontext(name="inner").run(echoes)
    print("after")
    return "".join(flyte.remote.Run.get("inner").get_logs())


@env.task
def square(x: int) -> int:
    return x * x


@env.task
async def square_later(x: int) -> int:
    return int(await square.aio(x))


@env.task
async def gathered(n: int) -> list[int]:
    return list(await asyncio.gather(*(square_later(x) for x in range(n))))


@env.task
def mixed(n: int) -> int:
    return sum(flyte.map(square, range(n))) + sum(asyncio.run(gathered(n)))


@env.task
def recursive(depth: int) -> int:
    return 0 if depth == 0 else 1 + int(recursive(depth - 1))


def through(frames: int, func: Callable[[], int]) -> int:
    return func() if frames == 0 else through(frames - 1, func)


@env.task
def recursive_through(depth: int, frames: int) -> int:
    return 0 if depth == 0 else 1 + through(frames, lambda: int(recursive_through(depth - 1, frames)))


@env.task
def runs_away() -> int:
    def down() -> int:
        return square(1) + down()  # a call of a task at every height, up to the end of the stack

    try:
        return down()
    except RecursionError:
        return square(3)


@env.task
def variables() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in ("LOCAL_NEW", "LOCAL_OLD")}


@env.task
def overrides(n: int) -> int:
    return sum(square.override(retries=x, env_vars={"A": "b"})(x) for x in range(n))


@env.task
def identical() -> int:
    return sum(flyte.map(square, [2] * 50))


@env.task(retries=2)
def flaky() -> int:
    tries.append(1)
    if len(tries) < 3:
        raise ValueError("not yet")
    return len(tries)


@env.task
def failing() -> int:
    raise ValueError("boom")


@env.task
def catching() -> str:
    try:
        failing()
    except RuntimeUserError as error:
        return f"{error.code} {error} {type(error.__cause__).__name__}"
    return ""


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


def test_an_environment_that_keeps_one_process_leaves_others_their_threads(tmp_path: Path) -> None:
    flyte.init(root=tmp_path)
    assert flyte.run(waits_for_each_other).outputs() == (2,)


def test_actions_of_an_environment_with_concurrency_run_beside_each_other(tmp_path: Path) -> None:
    flyte.init(root=tmp_path)
    assert flyte.run(has_them_meet).outputs() == (190,)


def test_sync_and_async_tasks_nest_and_every_call_is_an_action() -> None:
    run = flyte.run(mixed, 10)
    assert run.outputs() == (570,)
    assert run.phase.value == "succeeded"


def test_recursion_of_depth_50_ends() -> None:
    assert flyte.run(recursive, depth=50).outputs() == (50,)


@pytest.mark.parametrize("frames", [5, 6, 10, 100])
def test_recursion_through_plain_functions_ends(frames: int) -> None:
    assert flyte.run(recursive_through, depth=64, frames=frames).outputs() == (64,)


def test_an_action_survives_that_its_code_exceeds_pythons_recursion_limit() -> None:
    assert flyte.run(runs_away).outputs() == (9,)


def test_identical_calls_are_actions_of_their_own() -> None:
    assert flyte.run(identical).outputs() == (200,)


def test_a_failed_attempt_is_retried() -> None:
    tries.clear()
    assert flyte.run(flaky).outputs() == (3,)


def test_retries_of_zero_can_be_overridden_in() -> None:
    tries.clear()
    with pytest.raises(RuntimeUserError, match="not yet"):
        flyte.run(flaky.override(retries=0)).outputs()
    assert len(tries) == 1


def test_a_parent_catches_its_childs_error_with_the_original_as_cause() -> None:
    assert flyte.run(catching).outputs() == ("ValueError boom ValueError",)


def test_a_wrong_argument_fails_before_anything_is_recorded(root: Path) -> None:
    with pytest.raises(TypeError, match="parameter 'n': expected int, got str"):
        flyte.run(mixed, "a")
    assert not (root / "runs").exists()


def test_two_runs_of_one_name_are_refused() -> None:
    flyte.with_runcontext(name="twice").run(recursive, 1)
    with pytest.raises(RunAlreadyExistsError, match="flyte-ray resume twice"):
        flyte.with_runcontext(name="twice").run(recursive, 1)


@pytest.mark.parametrize("task", [echoes, echoes_later])
def test_what_a_library_prints_is_kept(task: Any) -> None:
    run = flyte.run(task)
    assert run.outputs() == (1,)
    assert list(run.get_logs()) == ["by click\n"]


def test_what_an_action_prints_can_be_read_while_it_runs_by_attempt() -> None:
    run = flyte.run(hears_itself)
    assert run.outputs() == (1,)
    line = "half a line, all of it\n"
    assert "".join(run.get_logs()) == line * 2
    assert "".join(run.get_logs(attempt=1)) == line
    assert all(text.startswith("20") and "Z" not in text for text in run.get_logs(attempt=1, show_ts=True))


def test_of_much_that_is_printed_the_last_is_kept_and_a_mark_says_what_is_not() -> None:
    lines = list(flyte.run(prints_much).get_logs())
    assert lines[-1] == "line 19999\n"
    assert sum(map(len, lines)) < 200_000
    assert sum("characters left out" in line for line in lines) >= 1


def test_a_run_inside_of_another_keeps_what_it_prints_to_itself() -> None:
    run = flyte.run(starts_another)
    assert run.outputs() == ("by click\n",)
    assert list(run.get_logs()) == ["before\n", "after\n"]


@pytest.mark.parametrize("task", [echoes, echoes_later])
def test_an_error_of_our_own_ends_the_action(monkeypatch: pytest.MonkeyPatch, task: Any) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise LookupError("a bug of ours")

    monkeypatch.setattr(Controller, "_result", broken)
    with pytest.raises(RuntimeUserError, match="a bug of ours"):
        flyte.run(task).outputs()


def test_the_variables_of_a_run_are_set_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_OLD", "before")
    run = flyte.with_runcontext(env_vars={"LOCAL_NEW": "1", "LOCAL_OLD": "2"}).run(variables)
    assert run.outputs() == ({"LOCAL_NEW": "1", "LOCAL_OLD": "2"},)
    assert (os.environ["LOCAL_OLD"], os.environ.get("LOCAL_NEW")) == ("before", None)


def test_what_local_mode_does_not_act_on_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    assert flyte.run(overrides, 5).outputs() == (30,)
    assert flyte.run(overrides, 5).outputs() == (30,)
    assert caplog.text.count("task local.square runs without its env_vars: local mode") == 1


def test_what_local_mode_does_not_act_on_is_said(caplog: pytest.LogCaptureFixture) -> None:
    resources = flyte.Resources(memory="1Gi")
    assert flyte.run(square.override(env_vars={"A": "b"}, resources=resources), 3).outputs() == (9,)
    assert "task local.square runs without its env_vars, memory" in caplog.text


def test_an_environment_is_cloned_without_its_tasks() -> None:
    clone = env.clone_with("other", resources=flyte.Resources(cpu=2))
    assert (clone.name, clone.tasks, clone.spec.resources) == ("other", {}, flyte.Resources(cpu=2))
    assert env.spec.resources is None


def test_actions_and_their_values_can_be_read_back(root: Path) -> None:
    flyte.with_runcontext(name="read").run(recursive, 1)
    command = [sys.executable, "-m", "flyte_ray.cli.main", "get"]
    listed = json.loads(subprocess.check_output([*command, "action", "-o", "json", "--root", str(root), "read"]))
    assert [(row["phase"], row["task"]) for row in listed] == [("succeeded", "local.recursive")] * 2
    shown = json.loads(subprocess.check_output([*command, "io", "--root", str(root), "read"]))
    assert shown == {"inputs": {"depth": 1}, "result": 1}


def test_outside_a_run_a_task_is_a_plain_function(root: Path) -> None:
    assert square(3) == 9
    assert not list(root.iterdir())


PROGRAM = """
    import os, time
    import flyte_ray as flyte
    env = flyte.TaskEnvironment("cut")

    @env.task
    def step(x: int) -> int:
        with open(os.environ["COUNTS"], "a+") as file:
            file.write(f"{x}\\n")
            file.seek(0)
            time.sleep(600 if x == 3 and file.read().count("3") == 1 else 0)
        return x

    @env.task
    def main() -> int:
        return sum(step(x) for x in range(6))
"""


def stored_successes(root: Path) -> int:
    actions = load_state(open_store(root), RunId("cut")).actions.values()
    return sum(action.phase.value == "succeeded" for action in actions)


def test_a_killed_run_is_resumed_without_running_a_stored_action_again(tmp_path: Path) -> None:
    program, counts = tmp_path / "cut.py", tmp_path / "counts"
    program.write_text(textwrap.dedent(PROGRAM))
    environ = {**os.environ, "COUNTS": str(counts), "FLYTE_RAY_ROOT": str(tmp_path / "root")}
    command = [sys.executable, "-m", "flyte_ray.cli.main"]
    submit = [*command, "submit", "--local", "--name", "cut", str(program), "main"]
    process = subprocess.Popen(submit, env=environ)
    deadline = time.monotonic() + 60
    while not (counts.exists() and "3" in counts.read_text() and stored_successes(tmp_path / "root") == 3):
        assert time.monotonic() < deadline and process.poll() is None, "step 3 never began, or no other was stored"
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run([*command, "resume", "cut"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "o0 = 15" in done.stdout
    executed = counts.read_text().split()
    assert executed.count("3") == 2, "the action that was cut off runs again"
    assert {x: executed.count(x) for x in "01245"} == dict.fromkeys("01245", 1)


def test_a_run_that_was_cut_off_is_shown_so_and_named_by_the_next_one(tmp_path: Path) -> None:
    program = tmp_path / "long.py"
    program.write_text(textwrap.dedent(INTERRUPTED))
    place = ["--root", str(tmp_path / "root")]
    command = [sys.executable, "-m", "flyte_ray.cli.main"]

    def shown() -> str:
        return subprocess.check_output([*command, "get", "run", *place, "cut"], text=True).splitlines()[1]

    submit = [*command, "submit", "--local", *place, "--name", "cut", str(program), "main"]
    process = subprocess.Popen(submit, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    assert re.search(rf"(queued|running) \(held by local:\S+:{process.pid}:\S+, seen \d+ s ago\)", shown())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert re.search(r"cut off \d+ s ago", shown())
    (row,) = json.loads(subprocess.check_output([*command, "get", "run", *place, "-o", "json", "cut"], text=True))
    assert row["is_cut_off"] and str(process.pid) in row["holder"]
    actions = subprocess.run([*command, "get", "action", *place, "cut"], capture_output=True, text=True, check=True)
    assert re.match(r"The run was cut off \d+ s ago. Continue it: flyte-ray resume cut", actions.stderr)
    other = [*command, "submit", "--local", *place, str(program), "quick"]
    done = subprocess.run(other, capture_output=True, text=True, check=True)
    told = [line for line in done.stderr.splitlines() if "cut off" in line]
    assert len(told) == 1
    assert re.search(rf"Run cut was cut off \d+ s ago. Continue it: flyte-ray resume cut --root {place[1]}$", told[0])
    assert "o0 = 1" in done.stdout


def test_a_failing_task_exits_1_with_the_users_traceback(tmp_path: Path) -> None:
    program = tmp_path / "bad.py"
    program.write_text(
        "import flyte_ray as flyte\nenv = flyte.TaskEnvironment('bad')\n@env.task\ndef f() -> int:\n    return 1 // 0\n"
    )
    command = [
        sys.executable,
        "-m",
        "flyte_ray.cli.main",
        "submit",
        "--local",
        "--root",
        str(tmp_path),
        str(program),
        "f",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    shown = done.stderr[done.stderr.index("  File ") :]  # a slow run tells how it stands before
    assert shown.startswith(f'  File "{program}", line 5')
    assert "ZeroDivisionError" in done.stderr


INTERRUPTED = """
    import time
    import flyte_ray as flyte
    env = flyte.TaskEnvironment("long")

    @env.task
    def slow() -> int:
        print("begun", flush=True)
        time.sleep(600)
        return 1

    @env.task
    def main() -> int:
        return slow()

    @env.task
    def quick() -> int:
        return 1

    @env.task
    async def main_async() -> int:
        return await slow.aio()

    @env.task
    def forgiving() -> int:
        try:
            slow("not wanted")
        except TypeError:
            print("begun", flush=True)
            time.sleep(600)
        return 1
"""


@pytest.mark.parametrize("task", ["main", "main_async"])
def test_ctrl_c_aborts_every_action_of_the_run_and_exits_130(tmp_path: Path, task: str) -> None:
    program = tmp_path / "long.py"
    program.write_text(textwrap.dedent(INTERRUPTED))
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--local", "--root", str(tmp_path), "--name", "x"]
    process = subprocess.Popen([*command, str(program), task], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    counts = load_state(open_store(tmp_path), RunId("x")).counts
    assert {phase.value: count for phase, count in counts.items() if count} == {"aborted": 2}


def test_ctrl_c_reaches_an_action_whose_call_was_refused_before(tmp_path: Path) -> None:
    program = tmp_path / "long.py"
    program.write_text(textwrap.dedent(INTERRUPTED))
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--local", "--root", str(tmp_path)]
    process = subprocess.Popen([*command, str(program), "forgiving"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_ctrl_c_reaches_a_run_that_was_started_where_a_loop_runs(tmp_path: Path) -> None:
    program = tmp_path / "cell.py"
    program.write_text(
        textwrap.dedent("""
        import asyncio, sys
        import flyte_ray as flyte

        env = flyte.TaskEnvironment("cell")

        @env.task
        async def waits() -> int:
            print("begun", flush=True)
            await asyncio.sleep(600)
            return 1

        async def cell() -> None:
            try:
                flyte.with_runcontext(name="cell").run(waits)
            except KeyboardInterrupt:
                print(flyte.remote.Run.get("cell").phase.value, flush=True)

        flyte.init(root=sys.argv[1])
        asyncio.run(cell())
        """)
    )
    process = subprocess.Popen([sys.executable, str(program), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "aborted\n")


def test_a_run_that_does_not_exist_is_named_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flyte_ray.cli.main", "resume", "--root", str(tmp_path), "nope"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "should hold a run 'nope', but does not" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_package_loads_neither_ray_nor_pandas_nor_pyarrow() -> None:
    code = "import sys, flyte_ray; print({'ray', 'pandas', 'pyarrow'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
