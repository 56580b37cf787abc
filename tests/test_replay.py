"""Actions that run again and call something else than is on record, as a user sees them."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import NondeterminismError, RuntimeUserError
from flyte_ray.ledger import replay

env = flyte.TaskEnvironment("replay")
executed: list[Any] = []


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    executed.clear()
    flyte.init(root=tmp_path)
    return tmp_path


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge async code as soon as it rests: none of the tests that use this sleeps between its calls."""
    monkeypatch.setattr(replay, "ASYNC_REST_S", 0.2)


def run(task: Any, *, strict: bool = False, **inputs: Any) -> flyte.Run:
    started: flyte.Run = flyte.with_runcontext("local", strict_replay=strict).run(task, **inputs)
    return started


def attempt() -> int:
    return flyte.ctx().attempt_number


def fail_first_attempt() -> None:
    if attempt() == 0:
        raise ValueError("the first attempt fails")


@env.task
async def step(n: int) -> int:
    executed.append(n)
    return n


@env.task
async def other(n: int) -> int:
    executed.append(n)
    return n


@env.task(retries=1)
async def changes_its_mind() -> int:
    n = await step(n=7 + attempt())
    fail_first_attempt()
    return n


SAID = "replay.changes_its_mind (a0) was run again and called replay.step(n=8) where replay.step(n=7)"


def test_a_replayed_parent_that_calls_something_else_is_warned_of_with_both_calls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "flyte_ray"):
        found = run(changes_its_mind)
        assert found.outputs() == (8,)
    assert [record.message.partition(" is on record")[0] for record in caplog.records] == [f"run {found.name}: {SAID}"]
    assert "flyte.durable has time, random and uuid" in caplog.text


def test_get_action_shows_what_was_called_in_place_of_what(root: Path) -> None:
    name = run(changes_its_mind).name
    shown = CliRunner().invoke(main, ["get", "action", name, "a0", "--root", str(root)])
    assert f"{SAID} is on record." in shown.output
    listed = CliRunner().invoke(main, ["get", "action", name, "--root", str(root), "-o", "json"])
    assert [row["diverged"] for row in json.loads(listed.output)] == [1, None, None]


def test_with_strict_replay_it_fails_and_the_new_call_does_not_run(hasty: None) -> None:
    found = run(changes_its_mind, strict=True)
    with pytest.raises(NondeterminismError, match="called replay.step.n=8.* where replay.step.n=7.* is on record"):
        found.outputs()
    assert executed == [7]
    assert found.state().root.attempts == 2


@env.task(retries=1)
async def keeps_quiet() -> int:
    try:
        await step(n=7 + attempt())
    except RuntimeUserError:
        executed.append("caught")
    fail_first_attempt()
    return 1


def test_an_action_cannot_keep_its_divergence_to_itself_under_strict_replay(hasty: None) -> None:
    with pytest.raises(NondeterminismError):
        run(keeps_quiet, strict=True).outputs()
    assert executed == [7, "caught"]


@env.task(retries=1)
def sync_changes_its_mind() -> int:
    [n] = flyte.map(step, [7 + attempt()])
    fail_first_attempt()
    return n


def test_sync_code_is_held_to_its_calls_as_well() -> None:
    with pytest.raises(NondeterminismError):
        run(sync_changes_its_mind, strict=True).outputs()
    assert executed == [7]


@env.task(retries=1)
async def branches() -> int:
    n = await (step(n=1) if attempt() == 0 else other(n=2))
    fail_first_attempt()
    return n


def test_a_call_of_another_task_in_the_place_of_one_on_record_is_named_too() -> None:
    diverged = run(branches).state().root.diverged
    assert diverged is not None
    both = json.loads(diverged[0][1])
    assert (both["recorded"]["task"], both["called"]["task"]) == ("replay.step", "replay.other")


@env.task(retries=1)
async def two_branches_race() -> int:
    """Its second attempt gets on with the fast branch before the slow one has made its calls of the first attempt."""

    async def go(first: int, count: int, pause_s: float) -> int:
        total = 0
        for n in range(first, first + count):
            await asyncio.sleep(pause_s)
            total += await step(n=n)
        return total

    if attempt() == 0:
        await asyncio.gather(go(0, 3, 0.0), go(10, 2, 0.0))
        raise ValueError("the first attempt fails")
    return sum(await asyncio.gather(go(0, 3, 0.05), go(10, 4, 0.0)))


@pytest.mark.parametrize("strict", [True, False])
def test_branches_that_go_on_at_another_pace_are_no_divergence(strict: bool) -> None:
    found = run(two_branches_race, strict=strict)
    assert found.outputs() == (0 + 1 + 2 + 10 + 11 + 12 + 13,)
    assert sorted(executed) == [0, 1, 2, 10, 11, 12, 13]
    assert found.state().root.diverged is None


@env.task
async def fails_once() -> int:
    executed.append("fails_once")
    if executed.count("fails_once") == 1:
        raise ValueError("once")
    return 5


@env.task(retries=1)
async def falls_back() -> int:
    try:
        n = await fails_once()
    except RuntimeUserError:
        n = await step(n=0)
        raise
    return n + await step(n=n)


@pytest.mark.parametrize("strict", [True, False])
def test_what_followed_from_a_failure_that_did_not_come_again_need_not_be_called_again(strict: bool) -> None:
    found = run(falls_back, strict=strict)
    assert found.outputs() == (10,)
    assert found.state().root.diverged is None


@env.task(retries=1)
async def draws_beside_a_failure() -> int:
    drawn, failing = step(n=7 + attempt()), fails_once()
    return sum(await asyncio.gather(drawn, failing))


def test_what_was_called_before_a_failure_is_expected_although_that_did_not_come_again(hasty: None) -> None:
    assert run(draws_beside_a_failure).state().root.diverged is not None
    executed.clear()
    with pytest.raises(NondeterminismError):
        run(draws_beside_a_failure, strict=True).outputs()
    assert 8 not in executed


@env.task(retries=1)
async def draws_many() -> int:
    total = sum(await asyncio.gather(*(step(n=n + 100 * attempt()) for n in range(12))))
    fail_first_attempt()
    return total


def test_of_many_divergent_calls_some_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "flyte_ray"):
        diverged = run(draws_many).state().root.diverged
    assert diverged is not None and len(diverged) == replay.MOST_NAMED
    assert f"and {replay.MOST_NAMED - 1} more" in caplog.text


@env.task(retries=1)
async def goes_further() -> int:
    total = 0
    for n in range(2 + 2 * attempt()):
        total += await step(n=n)
    fail_first_attempt()
    return total


@pytest.mark.parametrize("strict", [True, False])
def test_an_attempt_that_gets_further_than_the_last_one_diverges_from_nothing(strict: bool) -> None:
    found = run(goes_further, strict=strict)
    assert found.outputs() == (6,)
    assert found.state().root.diverged is None


@env.task(retries=1)
async def gives_up_what_is_held() -> int:
    """Its second attempt makes a new call and cancels it before it makes the one on record."""
    if attempt():
        asked = asyncio.ensure_future(step(n=8))
        await asyncio.sleep(0.02)
        asked.cancel()
    n = await step(n=7)
    fail_first_attempt()
    return n


def test_a_held_call_that_is_cancelled_never_runs() -> None:
    assert run(gives_up_what_is_held, strict=True).outputs() == (7,)
    assert executed == [7]
