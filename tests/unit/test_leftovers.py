"""What must not stay: of runs that have ended, in a ledger that serves for months, and on its disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.ledger import delivery, webhooks
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.spec.condition import ConditionWebhook
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_faults import RUN, TASK
from tests.unit.test_taking_over import Room

env = flyte.TaskEnvironment("leftovers")


@env.task
def one() -> int:
    return 1


def test_what_killed_processes_have_half_written_is_removed_at_the_end_of_a_run(tmp_path: Path) -> None:
    flyte.init(root=tmp_path)
    log = tmp_path / "runs" / "r" / "log"
    old, young, foreign = (log / name for name in (".writing-a", ".writing-b", "c.arrow.old"))
    log.mkdir(parents=True)
    for file in (old, young, foreign):
        file.write_bytes(b"half")
    for file in (old, foreign):
        os.utime(file, times=(time.time() - 3600,) * 2)
    flyte.with_runcontext("local", name="r").run(one)
    assert [file.exists() for file in (old, young, foreign)] == [False, True, True]


def test_why_a_slot_waited_is_forgotten_when_it_waits_no_more_or_is_gone() -> None:
    ledger = Ledger(MemoryStore(), Room(), "h")
    ledger.start(Start(RUN, "n", TASK, "0"))
    book = ledger.book(RUN)
    assert book is not None
    for index in range(9):
        ledger.slot_waits(RUN, f"gone-{index}", "no route")
    (name,) = book.starting
    ledger.slot_waits(RUN, name, "no route")
    assert book.waiting_for_store == {name: "no route"}
    ledger.slot_waits(RUN, name, "")
    assert book.waiting_for_store == {}
    ledger.close()


def test_webhooks_of_a_run_that_has_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "send", lambda request: None)
    store = MemoryStore()
    calls = webhooks.Webhooks(store)
    for mark in ("runs/r/a", "runs/r2/a"):
        calls.call(mark, lambda: ConditionWebhook("https://example.com"))
    calls.forget("runs/r")
    assert list(calls._due) == ["runs/r2/a"]
    calls.close()
