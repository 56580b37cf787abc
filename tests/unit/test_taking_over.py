"""One ledger after another holds a run, or two want it at the same time: the log stays right, and who lost is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from flyte_ray.errors import RunFencedError, RunNotFoundError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.lease import read_claim
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.requests import Ended, Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from tests.unit.test_ledger_faults import RUN, TASK, MemoryStore

START = Start(RUN, "n", TASK, "3")


class Room:
    """Room for a slot that never begins."""

    def launch(self, slot: str, run: RunId, shape: str, options: str) -> None: ...

    def kill(self, slot: str) -> None: ...

    def capacity(self, options: str) -> int:
        return 1

    def may_grow(self, options: str) -> bool:
        return False


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ledgers() -> Iterator[list[Ledger]]:
    made: list[Ledger] = []
    yield made
    for ledger in made:
        ledger.close()


def resume(ledger: Ledger, *, by_person: bool = True, take_over: bool = False) -> None:
    ledger.resume(RUN, {}, by_person=by_person, take_over=take_over, tasks={})


def opened(store: MemoryStore) -> list[str]:
    """Holders that have opened the run, in their order."""
    events = (event for _, segment in read_segments(store, RUN) for event in segment.events)
    return [json.loads(event.body or "")["holder"] for event in events if event.kind == kinds.OPEN]


def test_who_was_replaced_is_told_by_whom_though_it_had_nothing_to_record(
    store: MemoryStore, ledgers: list[Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", -1.0)  # at each look
    monkeypatch.setattr("flyte_ray.ledger.holding.KEEP_S", 0.01)
    first, second = Ledger(store, Room(), "first"), Ledger(store, Room(), "second")
    ledgers += [first, second]
    told: list[Ended | Exception] = []
    heard = threading.Event()
    first.start(START)
    first.wait(RUN, lambda how: (told.append(how), heard.set()))
    resume(second, take_over=True)
    assert heard.wait(60)
    assert type(told[0]) is RunFencedError and "continued by another ledger, second" in str(told[0])
    assert (first.runs, second.runs) == ([], [RUN])
    first.close()
    claim = read_claim(store, RUN)
    assert claim and claim.holder == "second"


def test_a_run_that_lives_is_not_taken_without_a_persons_word(
    store: MemoryStore, ledgers: list[Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", -1.0)
    monkeypatch.setattr("flyte_ray.ledger.lease.LOOK_S", 0.01)
    monkeypatch.setattr("flyte_ray.ledger.holding.KEEP_S", 0.01)
    first, second = Ledger(store, Room(), "first"), Ledger(store, Room(), "second")
    ledgers += [first, second]
    first.start(START)
    with pytest.raises(RunFencedError, match="held by first"):
        resume(second)
    assert (first.runs, second.runs, opened(store)) == ([RUN], [], ["first"])


def test_two_who_resume_one_run_in_one_ledger_open_it_once(store: MemoryStore, ledgers: list[Ledger]) -> None:
    cut_off(store)
    ledger = Ledger(store, Room(), "one")
    ledgers.append(ledger)
    together([lambda: resume(ledger), lambda: resume(ledger), lambda: ledger.start(START)])
    assert (ledger.runs, opened(store)) == ([RUN], ["dead", "one"])


@pytest.mark.parametrize("repetition", range(20))
def test_of_two_ledgers_that_resume_at_the_same_time_one_has_the_run_and_the_other_says_who(
    store: MemoryStore, ledgers: list[Ledger], repetition: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", -1.0)
    monkeypatch.setattr("flyte_ray.ledger.lease.LOOK_S", 0.01)
    monkeypatch.setattr("flyte_ray.ledger.holding.KEEP_S", 0.01)
    cut_off(store)
    both = {name: Ledger(store, Room(), name) for name in ("a", "b")}
    ledgers += both.values()
    refused: dict[str, str] = {}
    heard = threading.Event()

    def contend(name: str) -> None:
        def hear(how: Ended | Exception) -> None:
            refused[name] = str(how)
            heard.set()

        try:
            resume(both[name])
        except RunFencedError as error:
            hear(error)
        else:
            both[name].wait(RUN, lambda how: type(how) is RunNotFoundError or hear(how))

    together([lambda: contend("a"), lambda: contend("b")])
    assert heard.wait(60)
    (loser,) = refused
    winner = {"a": "b", "b": "a"}[loser]
    assert f"continued by another ledger, {winner}" in refused[loser] or f"held by {winner}" in refused[loser]
    assert (both[loser].runs, both[winner].runs) == ([], [RUN])
    assert opened(store)[-1] == winner
    state = load_state(store, RUN)
    assert (state.root.phase, list(state.actions)) == (ActionPhase.QUEUED, ["a0"])


def cut_off(store: MemoryStore) -> None:
    """Begin the run with a ledger that ends before it has."""
    ledger = Ledger(store, Room(), "dead")
    ledger.start(START)
    ledger.close()


def together(calls: list[object]) -> None:
    """Make calls at the same time, each on a thread; returns when all have."""
    ready = threading.Barrier(len(calls))

    def call(it: object) -> None:
        ready.wait()
        assert callable(it)
        it()

    threads = [threading.Thread(target=call, args=(it,)) for it in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
