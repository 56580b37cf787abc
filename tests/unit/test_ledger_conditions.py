"""Which of signal and timeout decides, after restarts of the ledger and while the store is away; who is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.errors import StoreError
from flyte_ray.ledger import conditions, delivery, webhooks
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.conditions import ConditionDesk, Decision, RunConditions, condition_ref
from flyte_ray.ledger.messages import DISPLACED, Call, Outcome, Result
from flyte_ray.ledger.notices import Request
from flyte_ray.ledger.paths import spec_key
from flyte_ray.ledger.signals import decide, expiry_entry, find_decision, signal_entry
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.condition import ConditionSpec, ConditionWebhook
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import open_store
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_limits import RUN, Cluster, PlayedSlot, call, clock, play, task

__all__ = ["clock", "play"]
ASKED = ConditionSpec("approval", "Approve?", "text", bool, "", 60.0, None)
REF = condition_ref("approval", 60.0)
EXPIRED = json.dumps({"code": "ConditionTimedoutError", "kind": "user", "message": "late", "traceback": ""})


def ask(name: str = "c") -> Call:
    return Call(name, "a0", REF.key, ASKED.dump(), None, None, told=False)


def begun(play: Any) -> tuple[Cluster, PlayedSlot]:
    """A run whose root action has asked for a condition."""
    cluster, slot = play(task())
    cluster.others.append(REF)
    slot.say()
    slot.say(ask(), want=0)
    return cluster, slot


def signalled(cluster: Cluster, value: object, name: str = "c") -> bool:
    entry = signal_entry(value, "anna@host", 1, f"{time.time_ns()}")  # type: ignore[arg-type]
    return decide(cluster.store, RUN, name, action(cluster, name).rounds, entry) == entry


def action(cluster: Cluster, name: str = "c") -> ActionState:
    return cluster.book.state.actions[name]


def until(cluster: Cluster, reached: Callable[[], object]) -> None:
    """Let the ledger's clock stand and its desk work until something is reached."""
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline, action(cluster)
        cluster.ledger.tick()
        time.sleep(0.005)


def ends(cluster: Cluster) -> ActionPhase:
    until(cluster, lambda: action(cluster).phase is not ActionPhase.PAUSED)
    return action(cluster).phase


def test_who_waits_gets_the_value_and_the_record_who_gave_it(play: Any) -> None:
    cluster, slot = begun(play)
    assert action(cluster).phase is ActionPhase.PAUSED
    assert signalled(cluster, True)
    assert ends(cluster) is ActionPhase.SUCCEEDED
    body = {"value": True, "by": "anna@host", "at_us": 1}
    assert [(order.action, json.loads(order.body)) for order in slot.news() if type(order) is Outcome] == [("c", body)]


def test_a_signal_that_is_stored_before_its_time_is_over_wins_however_late_it_is_seen(play: Any) -> None:
    cluster, _ = begun(play)
    assert signalled(cluster, False)
    cluster.clock.us += 61_000_000
    assert ends(cluster) is ActionPhase.SUCCEEDED


def test_a_signal_after_the_time_is_refused_also_before_the_record_says_so(play: Any) -> None:
    cluster, _ = begun(play)
    decide(cluster.store, RUN, "c", 0, expiry_entry(EXPIRED, 0, 1))
    assert not signalled(cluster, True)
    assert ends(cluster) is ActionPhase.TIMED_OUT


def test_a_restart_of_the_ledger_neither_forgets_nor_prolongs_a_wait(play: Any) -> None:
    cluster, _ = begun(play)
    cluster.after(40)
    cluster.restart()
    cluster.after(19)
    assert action(cluster).phase is ActionPhase.PAUSED
    cluster.after(2)
    assert ends(cluster) is ActionPhase.TIMED_OUT


def test_a_ledger_that_restarts_finds_what_was_signalled_while_it_was_away(play: Any) -> None:
    cluster, _ = begun(play)
    cluster.restart()
    assert signalled(cluster, True)
    assert ends(cluster) is ActionPhase.SUCCEEDED


def test_an_entry_that_no_signaller_writes_fails_the_condition(play: Any) -> None:
    cluster, _ = begun(play)
    assert signalled(cluster, "yes")
    assert ends(cluster) is ActionPhase.FAILED
    assert json.loads(action(cluster).result or "")["code"] == "ConditionFailedError"


def test_a_condition_waits_on_while_the_store_is_away(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, _ = begun(play)
    asked: list[str] = []

    def refuse(prefix: str) -> list[str]:
        asked.append(prefix)
        raise StoreError("no route")

    with monkeypatch.context() as patch:
        patch.setattr(cluster.store, "keys", refuse)
        until(cluster, lambda: len(asked) >= 2)
        assert action(cluster).phase is ActionPhase.PAUSED
    assert signalled(cluster, True)
    assert ends(cluster) is ActionPhase.SUCCEEDED


def test_nothing_is_decided_in_an_empty_folder_that_shows_in_place_of_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(conditions, "AWAY_S", 0.01)
    root, away = tmp_path / "root", tmp_path / "away"
    store = open_store(root)
    store.put(spec_key(RUN), b"{}")
    root.rename(away)
    root.mkdir()
    answers: list[list[Decision]] = []
    desk, asked = ConditionDesk(store, lambda: 1, lambda _, found: answers.append(found)), RunConditions()
    asked.add(ActionState("c", "a0", REF.key, None, ASKED.dump(), 1), 0)
    asked.expire("c", EXPIRED)

    def look(reached: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not reached():
            assert time.monotonic() < deadline
            desk.attend(RUN, asked, 1)
            time.sleep(0.005)

    look(lambda: "Is its disk mounted?" in caplog.text)
    assert not answers and not list(root.iterdir())
    root.rmdir()
    away.rename(root)
    look(lambda: answers)
    assert [decision.kind for decision in answers[0]] == [kinds.TIMED_OUT]
    desk.close()


def test_who_left_its_slot_to_others_begins_again_without_blame_and_not_above_them(play: Any) -> None:
    cluster, slot = play(task())
    slot.say()
    slot.say(call("one", cluster.task), call("two", cluster.task), want=0)
    (work,) = slot.say(want=1, waiting=frozenset({"a0"}), buried=True)
    cluster.others.append(REF)
    slot.say(ask()._replace(parent=work.action), want=0)
    assert slot.say(Result(work.action, 0, DISPLACED, "null", True, 0.01, None), want=0) == []
    asked = action(cluster, work.action)
    assert (asked.phase, asked.attempts, asked.losses, asked.failures) == (ActionPhase.QUEUED, 1, 0, 0)
    # A new task is tried above who waits for it; one that is known to ask goes where it is in nobody's way.
    assert slot.say(want=1, waiting=frozenset({"a0"}), buried=True) == []
    assert action(cluster).phase is ActionPhase.PAUSED


def test_the_time_that_was_over_in_one_round_decides_that_round_alone() -> None:
    store, run = MemoryStore(), RunId("r")
    expiry = expiry_entry(EXPIRED, 0, 1)
    assert decide(store, run, "c", 0, expiry) == expiry
    assert find_decision(store, run, "c", 0) == (0, expiry)
    assert find_decision(store, run, "c", 1) == (1, None)
    first = signal_entry(1, "anna@host", 2, "a")
    assert decide(store, run, "c", 1, first) == first
    # Whoever looks at it from whichever round: of two signals one decides.
    assert decide(store, run, "c", 0, signal_entry(2, "ben@host", 3, "b")) == expiry
    assert decide(store, run, "c", 2, signal_entry(3, "eva@host", 4, "c")) == first


def test_a_put_that_is_repeated_below_us_is_the_same_signal() -> None:
    class Repeating(MemoryStore):
        def put_if_absent(self, key: str, data: bytes) -> bool:
            super().put_if_absent(key, data)
            return super().put_if_absent(key, bytes(bytearray(data)))

    entry = signal_entry(1, "anna@host", 2, "a")
    assert decide(Repeating(), RunId("r"), "c", 0, entry) == entry


def test_a_webhook_that_has_worked_is_not_called_again_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    now = [0.0]

    def post(request: Request) -> None:
        calls.append(request.url)
        if len(calls) < 3:
            raise OSError("refused")

    monkeypatch.setattr(delivery, "send", post)
    store = MemoryStore()
    first = webhooks.Webhooks(store, lambda: now[0])
    deadline = time.monotonic() + 30
    while "mark" not in store.objects:
        assert time.monotonic() < deadline, calls
        first.call("mark", lambda: ConditionWebhook("https://example.com"))
        now[0] += 1.0
        time.sleep(0.005)
    assert len(calls) == 3
    second = webhooks.Webhooks(store, lambda: now[0])
    second.call("mark", lambda: ConditionWebhook("https://example.com"))
    first.close()
    assert second._pool is not None
    second._pool.shutdown(wait=True)
    assert len(calls) == 3
