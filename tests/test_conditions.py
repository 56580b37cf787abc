"""Conditions: a task asks a person, who answers from wherever the root can be reached."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import (
    ActionAbortedError,
    ConditionAlreadyExistsError,
    ConditionTimedoutError,
    InvalidDeclaration,
    RunNotFoundError,
    RuntimeUserError,
    SyncTaskCallInAsyncContextError,
    UnsupportedError,
)
from flyte_ray.remote import Action, Condition

env = flyte.TaskEnvironment("asking")
seen: list[Any] = []


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Iterator[Path]:
    seen.clear()
    flyte.init(root=tmp_path / "root")
    yield tmp_path / "root"
    flyte.init()


def waiting(run: str, name: str) -> Condition:
    """The condition of a run, when it waits."""
    deadline = time.monotonic() + 60
    while True:
        try:
            found = Condition.get(name, run_name=run)
        except RunNotFoundError:
            found = None
        if found is not None and found.phase == "paused":
            return found
        assert time.monotonic() < deadline, f"condition {name!r} never waited: {found}"
        time.sleep(0.02)


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do something on another thread while run `r` goes on; if it fails, the run is aborted and this fails, too."""
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
            flyte.remote.Run.get("r").abort_action("a0", "the test has failed")

    thread = threading.Thread(target=attempt)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        if errors:
            raise errors[0]


def run(task: Any, name: str = "r", **inputs: Any) -> Any:
    return flyte.with_runcontext("local", name=name).run(task, **inputs).outputs()[0]


@env.task
def asks_all() -> list[bool | int | float | str]:
    kinds = {"b": bool, "i": int, "f": float, "s": str}
    asked = [flyte.new_condition(name, data_type=kind) for name, kind in kinds.items()]
    return [condition.wait() for condition in asked]


def test_a_task_gets_the_values_that_its_conditions_are_signalled_with() -> None:
    def answer() -> None:
        waiting("r", "s").signal("a word")
        for name, value in (("b", True), ("i", 7), ("f", 2)):
            waiting("r", name).signal(value)

    with beside(answer):
        assert run(asks_all) == [True, 7, 2.0, "a word"]
    assert [each.expected_type for each in Condition.listall("r")] == [bool, int, float, str]
    assert [each.phase for each in Condition.listall(run_name="r", action_name="a0")] == ["succeeded"] * 4


@env.task
async def asks_later() -> int:
    first = await flyte.new_condition.aio("first", data_type=int)
    second = await flyte.new_condition.aio("second", data_type=int)
    one, two, again = await asyncio.gather(first.wait.aio(), second.wait.aio(), first.wait.aio())
    assert again == await first.wait.aio() == one
    return one * two


def test_async_tasks_wait_for_several_conditions_and_for_one_of_them_often() -> None:
    def answer() -> None:
        waiting("r", "second").signal(4)
        waiting("r", "first").signal(3)

    with beside(answer):
        assert run(asks_later) == 12


@env.task
async def reminds() -> int:
    condition = flyte.new_condition("approval", data_type=int)
    reminders = 0
    while True:
        try:
            return await asyncio.wait_for(condition.wait.aio(), 0.05) + reminders
        except asyncio.TimeoutError:
            reminders += 1
            seen.append("reminded")


def test_a_wait_that_is_cancelled_leaves_the_condition_waiting() -> None:
    def answer() -> None:
        condition = waiting("r", "approval")
        while len(seen) < 3:
            time.sleep(0.01)
        condition.signal(100)

    with beside(answer):
        assert run(reminds) >= 103


@env.task
def asks_in_vain() -> str:
    try:
        flyte.new_condition("approval", timeout=0.3).wait()
    except ConditionTimedoutError as error:
        return str(error)
    return "it was signalled"


def test_a_condition_that_nobody_signals_in_time_raises_and_takes_no_signal() -> None:
    said = run(asks_in_vain)
    assert "nobody signalled condition.approval" in said and "timeout=0.3 s" in said
    condition = Condition.get("approval", run_name="r")
    assert condition is not None and condition.phase == "timed_out"
    with pytest.raises(RuntimeUserError, match="waits no more: it has ended: timed_out"):
        condition.signal(True)


@env.task
def asks() -> bool:
    return flyte.new_condition("approval", prompt="Write to production?").wait()


def test_a_second_signal_is_refused_and_the_first_stands() -> None:
    def answer() -> None:
        condition = waiting("r", "approval")
        condition.signal(False)
        with pytest.raises(RuntimeUserError, match="was signalled with False by .*@.*Nothing was changed"):
            condition.signal(True)

    with beside(answer):
        assert run(asks) is False
    told = json.loads(next(iter(Condition.listall("r"))).to_json())
    assert (told["value"], told["prompt"]) == (False, "Write to production?")
    assert "@" in told["signalled_by"]


@env.task(retries=1)
def asks_and_fails() -> int:
    seen.append(flyte.ctx().attempt_number)
    value = flyte.new_condition("approval", data_type=int).wait()
    if flyte.ctx().attempt_number == 0:
        raise ValueError("the first attempt fails")
    return value


def test_an_attempt_that_runs_again_finds_the_signal_on_record() -> None:
    with beside(lambda: waiting("r", "approval").signal(5)):
        assert run(asks_and_fails) == 5
    assert seen == [0, 1]
    assert len(list(Condition.listall("r"))) == 1


@env.task(retries=1)
def asks_in_vain_first() -> bool:
    return flyte.new_condition("approval", timeout=0.2 if flyte.ctx().attempt_number == 0 else None).wait()


def test_a_condition_that_timed_out_waits_anew_for_the_next_attempt() -> None:
    def answer() -> None:
        while not any(each.attempts == 2 for each in actions()):
            time.sleep(0.02)
        waiting("r", "approval").signal(True)

    def actions() -> list[Action]:
        try:
            return [each for each in Action.listall("r") if each.name == "a0"]
        except RunNotFoundError:
            return []

    with beside(answer):
        assert run(asks_in_vain_first) is True


@env.task
def asks_twice() -> str:
    flyte.new_condition("approval")
    try:
        flyte.new_condition("approval")
    except ConditionAlreadyExistsError as error:
        return str(error)
    return "it was made twice"


def test_a_name_belongs_to_one_condition_of_an_action_and_who_is_not_waited_for_ends_with_it() -> None:
    assert "Action a0 has a condition 'approval' already" in run(asks_twice)
    condition = Condition.get("approval", run_name="r")
    assert condition is not None and condition.phase == "aborted"
    with pytest.raises(RuntimeUserError, match="has ended: aborted"):
        condition.signal(True)


@env.task
async def approves_both() -> list[bool]:
    return list(await asyncio.gather(asks.aio(), asks.aio()))


def test_actions_may_use_the_same_name_and_are_signalled_by_their_ids(root: Path) -> None:
    def answer() -> None:
        found = paused(2)
        refused = cli(root, "signal", "condition", "r", "approval", "yes")
        assert refused.exit_code == 2 and found[0].action_name in refused.stderr
        assert cli(root, "signal", "condition", "r", found[0].action_name, "yes").exit_code == 0
        paused(1)
        assert cli(root, "signal", "condition", "r", "approval", "no").exit_code == 0

    def paused(count: int) -> list[Condition]:
        deadline = time.monotonic() + 60
        while len(found := [each for each in listed("r") if each.phase == "paused"]) != count:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    with beside(answer):
        assert sorted(run(approves_both)) == [False, True]


def listed(run: str) -> list[Condition]:
    try:
        return list(Condition.listall(run))
    except RunNotFoundError:
        return []


@env.task
async def blocks_its_loop() -> str:
    try:
        flyte.new_condition("approval").wait()
    except SyncTaskCallInAsyncContextError as error:
        return str(error)
    return "it blocked"


def test_waiting_where_nothing_can_wait_is_refused() -> None:
    assert "await condition.wait.aio()" in run(blocks_its_loop)
    condition = flyte.new_condition("approval", data_type=str)
    with pytest.raises(RuntimeError, match="inside of a task only"):
        condition.wait()


@env.task
async def gives_up_its_child() -> str:
    child = asyncio.ensure_future(asks.aio())
    while not seen:
        await asyncio.sleep(0.02)
    child.cancel()
    try:
        await child
    except (asyncio.CancelledError, ActionAbortedError):
        return "cancelled"
    return "it went on"


def test_a_condition_ends_with_the_action_that_waits_for_it() -> None:
    def look() -> None:
        waiting("r", "approval")
        seen.append("waits")

    with beside(look):
        assert run(gives_up_its_child) == "cancelled"
    assert [each.phase for each in Condition.listall("r")] == ["aborted"]


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"data_type": list}, TypeError, "must be bool, int, float or str"),
        ({"timeout": 0}, InvalidDeclaration, "more than 0 seconds"),
        ({"timeout": "1h"}, TypeError, "seconds or a timedelta"),
        ({"prompt_type": "html"}, InvalidDeclaration, "'text' or 'markdown'"),
        ({"webhook": "https://example.com"}, TypeError, "flyte.ConditionWebhook"),
    ],
)
def test_a_wrong_condition_is_named_where_it_is_made(settings: dict[str, Any], error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        flyte.new_condition("approval", **settings)


def test_a_webhook_that_wants_to_be_called_back_needs_the_http_api() -> None:
    deep = flyte.ConditionWebhook("https://example.com", {"deep": [{"back": "{callback_uri}"}]})
    with pytest.raises(UnsupportedError, match="has none that is served. Serve it: flyte-ray serve serve/api.py. Or"):
        flyte.new_condition("approval", webhook=deep)
    in_url = flyte.ConditionWebhook("https://example.com?back={callback_uri}")
    with pytest.raises(UnsupportedError, match="with '{callback_uri}' needs the HTTP API of its root"):
        flyte.new_condition("approval", webhook=in_url)


def test_a_webhook_without_a_url_is_refused() -> None:
    with pytest.raises(InvalidDeclaration, match="http or https"):
        flyte.ConditionWebhook("ftp://example.com")


def test_a_value_of_another_type_is_refused_before_anything_is_stored() -> None:
    def answer() -> None:
        condition = waiting("r", "approval")
        for value in (1, "true", None):
            with pytest.raises(TypeError, match="expects bool"):
                condition.signal(value)  # type: ignore[arg-type]
        condition.signal(True)

    with beside(answer):
        assert run(asks) is True


class Hook(BaseHTTPRequestHandler):
    """Fails the first call and keeps what the others say."""

    calls: list[Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.calls.append(body)
        self.send_response(503 if len(self.calls) == 1 else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@env.task
def asks_by_webhook(url: str) -> bool:
    hook = flyte.ConditionWebhook(url, {"text": "please look"})
    return flyte.new_condition("approval", webhook=hook).wait()


def test_a_webhook_is_called_until_that_works() -> None:
    Hook.calls = []
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def answer() -> None:
            condition = waiting("r", "approval")
            deadline = time.monotonic() + 60
            while len(Hook.calls) < 2:
                assert time.monotonic() < deadline, Hook.calls
                time.sleep(0.05)
            condition.signal(True)

        with beside(answer):
            assert run(asks_by_webhook, url=f"http://127.0.0.1:{server.server_port}/hook") is True
        server.shutdown()
    assert Hook.calls == [{"text": "please look"}] * 2


PROGRAM = """
    import os
    import flyte_ray as flyte
    env = flyte.TaskEnvironment("asking")

    @env.task
    def step(x: int) -> int:
        with open(os.environ["COUNTS"], "a") as file:
            file.write(f"{x} ")
        return x

    @env.task
    def main() -> int:
        first = flyte.new_condition("first", data_type=int, prompt="How many?").wait()
        done = step(first)
        return done + flyte.new_condition("second", data_type=int).wait()
"""


def cli(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--root", str(root)], prog_name="flyte-ray")


def test_another_process_signals_a_local_run_also_while_nobody_holds_it(root: Path, tmp_path: Path) -> None:
    program, counts = tmp_path / "asking.py", tmp_path / "counts"
    program.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "-m", "flyte_ray.cli.main"]
    environ = {**os.environ, "COUNTS": str(counts), "FLYTE_RAY_ROOT": str(root)}
    submit = [*command, "submit", "--local", "--name", "cut", str(program), "main"]
    process = subprocess.Popen(submit, env=environ, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        waiting("cut", "first")
        assert any("flyte-ray signal condition cut first VALUE" in line for line in iter(process.stderr.readline, ""))
        shown = cli(root, "get", "condition", "cut").output
        assert "first" in shown and "paused" in shown and "How many?" in shown
        assert "paused" in cli(root, "get", "action", "cut").output
        wrong = cli(root, "signal", "condition", "cut", "first", "many")
        assert wrong.exit_code == 2 and "expects int, got 'many'" in wrong.stderr
        unknown = cli(root, "signal", "condition", "cut", "third", "1")
        assert unknown.exit_code == 2 and "It has: first" in unknown.stderr
        given = cli(root, "signal", "condition", "cut", "first", "3")
        assert given.output == "Signalled condition first of run cut with 3.\n"
        waiting("cut", "second")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert cli(root, "signal", "condition", "cut", "second", "4").exit_code == 0
    refused = cli(root, "signal", "condition", "cut", "second", "5")
    assert refused.exit_code == 1 and "was signalled with 4 by" in refused.stderr
    done = subprocess.run([*command, "resume", "cut"], env=environ, capture_output=True, text=True, check=False)
    assert "o0 = 7" in done.stdout, done.stderr
    assert counts.read_text() == "3 ", "what was finished is not executed again"
