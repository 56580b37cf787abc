"""One ledger after another holds a run, or two want it at the same time: the log stays right, and who lost is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence

import pytest

from flyte_ray.errors import RunFencedError, RunNotFoundError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.lease import read_claim
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.paths import segment_key, spec_key
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.requests import Ended, Start
from flyte_ray.ledger.run_list import RunList
from flyte_ray.ledger.service import Ledger
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from tests.cancelled import wait_until
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_faults import RUN, TASK

START = Start(RUN, "n", TASK, "3")


class Room:
    """Room for a slot that never begins."""

    def launch(
        self, slot: str, run: RunId, shape: str, options: str, pool: object = None, own: bool = False
    ) -> None: ...

    def kill(self, slot: str) -> None: ...

    recall = kill

    def retire(self, run: RunId) -> None: ...

    def spare(self, names: frozenset[str]) -> None: ...

    def capacity(self, options: str) -> int:
        return 1

    def may_grow(self, options: str) -> bool:
        return False

    def scarce(self, options: str) -> frozenset[str]:
        return frozenset()


class Crash(BaseException):
    """The ledger's process ends here."""


class CrashingStore(MemoryStore):
    """Ends the process just after a number of writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        self.count()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        try:
            return super().put_if_absent(key, data)
        finally:
            self.count()

    def delete(self, keys: Sequence[str]) -> None:
        if self.left > 0:  # the dead clean up nothing
            super().delete(keys)

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash


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
    ledger.resume(RUN, {}, by_person=by_person, take_over=take_over)


def opened(store: MemoryStore) -> list[str]:
    """Holders that have opened the run, in their order."""
    events = (event for _, segment in read_segments(store, RUN) for event in segment.events)
    return [json.loads(event.body or "")["holder"] for event in events if event.kind == kinds.OPEN]


def test_who_begins_to_wait_when_its_run_was_taken_is_told_by_whom(store: MemoryStore, ledgers: list[Ledger]) -> None:
    # Two processes of one machine take over from a dead one at the same time: each finds its own claim.
    first, second = Ledger(store, Room(), "first"), Ledger(store, Room(), "second")
    ledgers += [first, second]
    first.start(START)
    resume(second, take_over=True)
    book = first.book(RUN)
    assert book is not None and not book.recorder.check()
    assert first.runs == []
    told: list[Ended | Exception] = []
    first.wait(RUN, told.append)
    assert isinstance(told[0], RunFencedError) and "continued by another ledger, second;" in str(told[0])
    resume(first, take_over=True)
    first.wait(RUN, told.append)
    assert len(told) == 1, "what is held again is waited for"


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
    first.wait(RUN, lambda how: told.append(how) or heard.set())
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


def test_a_claim_is_renewed_while_a_long_log_is_read(ledgers: list[Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", -1.0)
    monkeypatch.setattr("flyte_ray.ledger.lease.KEEP_S", 0.01)

    class Long(MemoryStore):
        """Takes long to read."""

        def get(self, key: str) -> bytes:
            if key == segment_key(RUN, 0):
                before = counter()
                wait_until(lambda: counter() > before + 2, "the claim stands still")
            return super().get(key)

    def counter() -> int:
        claim = read_claim(store, RUN)
        return claim.counter if claim else 0

    store = Long()
    cut_off(store)
    ledgers.append(Ledger(store, Room(), "second"))
    resume(ledgers[0], take_over=True)
    assert ledgers[0].runs == [RUN]


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
            both[name].wait(RUN, lambda how: None if type(how) is RunNotFoundError else hear(how))

    together([lambda: contend("a"), lambda: contend("b")])
    assert heard.wait(60)
    (loser,) = refused
    winner = {"a": "b", "b": "a"}[loser]
    assert f"continued by another ledger, {winner}" in refused[loser] or f"held by {winner}" in refused[loser]
    assert (both[loser].runs, both[winner].runs) == ([], [RUN])
    assert opened(store)[-1] == winner
    state = load_state(store, RUN)
    assert (state.root.phase, list(state.actions)) == (ActionPhase.QUEUED, ["a0"])


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_run_that_was_cut_off_before_its_first_segment_begins_when_it_is_resumed(
    ledgers: list[Ledger], writes: int
) -> None:
    store = CrashingStore(writes)
    dead, alive = Ledger(store, Room(), "dead"), Ledger(store, Room(), "alive")
    ledgers += [alive]
    with pytest.raises(Crash):
        dead.start(START)
        raise Crash
    store.left = 0
    resume(alive, by_person=False, take_over=True)
    root = load_state(store, RUN).root
    assert (root.phase, root.inputs, root.task, root.attempts) == (ActionPhase.QUEUED, "3", TASK.key, 0)
    (listed,) = RunList(store).runs()
    assert listed.about["name"] == RUN, "it is listed, and once"
    assert "call" not in listed.about, "a list does not read functions by value"


def test_a_run_of_an_earlier_version_that_never_began_is_let_go(store: MemoryStore, ledgers: list[Ledger]) -> None:
    spec = START.spec(1)
    del spec["call"]
    store.put(spec_key(RUN), json.dumps(spec).encode())
    ledger = Ledger(store, Room(), "one")
    ledgers.append(ledger)
    with pytest.raises(RunNotFoundError, match="cut off before it began"):
        resume(ledger)
    assert (ledger.runs, read_claim(store, RUN)) == ([], None)


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
