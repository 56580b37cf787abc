"""What waiting for a run's end reads of its record, and what is left of the run in a ledger."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from flyte_ray.api import awaiting
from flyte_ray.api.awaiting import await_end
from flyte_ray.ledger import holding
from flyte_ray.ledger.requests import Ended, Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.state import RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from tests.cancelled import wait_until
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_faults import TASK
from tests.unit.test_taking_over import Room

RUN = RunId("one")
UNDER_WAY = SimpleNamespace(phase=ActionPhase.RUNNING)
OVER = SimpleNamespace(phase=ActionPhase.SUCCEEDED)


def reader(monkeypatch: pytest.MonkeyPatch, ended: Ended) -> Callable[[], RunState | None]:
    """Wait for a run that is under way when it is read first, and whose ledger says that it ended so."""
    phases = iter([UNDER_WAY, OVER])
    monkeypatch.setattr(awaiting, "load_state", lambda *_: next(phases))
    monkeypatch.setattr(awaiting, "client_of", lambda _: SimpleNamespace(wait=lambda _: ended))
    return lambda: await_end(MemoryStore(), RUN)


def test_what_a_ledger_has_said_of_the_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reader(monkeypatch, Ended("SUCCEEDED", "1", diverged=False))() is None


@pytest.mark.parametrize("ended", [Ended("SUCCEEDED", "1", diverged=True), Ended("SUCCEEDED", "1")])
def test_the_record_is_read_where_a_replay_called_something_else_or_the_ledger_does_not_say(
    monkeypatch: pytest.MonkeyPatch, ended: Ended
) -> None:
    assert reader(monkeypatch, ended)() is OVER


def test_a_ledger_that_waits_holds_nothing_of_a_run_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "KEEP_S", 0.01)
    looks: list[int] = []
    monkeypatch.setattr(holding.HeldRun, "pack", lambda _: looks.append(1))
    monkeypatch.setattr("flyte_ray.ledger.recorder.RunRecorder.has_to_pack", True)
    ledger = Ledger(MemoryStore(), Room(), "holder")
    ledger.start(Start(RUN, "n", TASK, "0"))
    book = weakref.ref(ledger.book(RUN))
    wait_until(lambda: bool(looks), "a thread that looks after runs meets it")
    assert ledger.abort(RUN, "a0", "enough", "me@here")

    def is_gone() -> bool:
        gc.collect()
        return book() is None

    wait_until(is_gone, "it is forgotten")
    ledger.close()
