"""A lasting ledger continues the runs that nobody holds any more, and leaves all others alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from flyte_ray.errors import StoreError
from flyte_ray.ledger.adoption import Adoption
from flyte_ray.ledger.lease import STILL_S, read_claim
from flyte_ray.ledger.paths import lease_key, segment_key
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.side_by_side import SideBySide
from flyte_ray.spec.ids import RunId
from tests.cancelled import wait_until
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_faults import TASK
from tests.unit.test_taking_over import Room

LOOK_S = 5.0


class Flaky(MemoryStore):
    """A store that is away at times."""

    away = False

    def keys(self, prefix: str) -> list[str]:
        if self.away:
            raise StoreError("away")
        return super().keys(prefix)


class Watcher:
    """A ledger that looks for what others have left, by a clock of the test's own."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.now, self.lacking = store, 0.0, ""
        self.keys = {"k1"}
        self.ledger = Ledger(store, Room(), "watcher")
        self.adoption = Adoption(
            store,
            self.ledger,
            alive=lambda run: {},
            hopeless=lambda options: self.lacking,
            lacks=lambda key: "" if key in self.keys else f"lacks key {key}",
            clock=lambda: self.now,
        )

    def look(self) -> list[RunId]:
        found = self.adoption.look()
        self.now += LOOK_S
        return found


@pytest.fixture
def store() -> Flaky:
    return Flaky()


@pytest.fixture
def watcher(store: Flaky) -> Iterator[Watcher]:
    watcher = Watcher(store)
    yield watcher
    watcher.ledger.close()


def leave(store: MemoryStore, name: str, *, ended: bool = False, mode: str = "remote", **about: object) -> None:
    """Begin a run with a ledger that ends before it has, on this machine if that is to be known here."""
    ledger = Ledger(store, Room(), f"holder of {name}")
    ledger.start(Start(RunId(name), "n", TASK, "3", about={"mode": mode, **about}))
    claim = read_claim(store, RunId(name))
    assert claim
    ledger.close()
    process = claim.process.rpartition("|")[0] + "|1" if ended else "elsewhere|1"
    put(store, name, **claim._replace(process=process)._asdict())


def put(store: MemoryStore, name: str, **changes: object) -> None:
    claim = read_claim(store, RunId(name))
    store.put(lease_key(RunId(name)), json.dumps({**(claim._asdict() if claim else {}), **changes}).encode())


def test_runs_are_continued_when_their_counters_were_seen_to_stand_still(store: Flaky, watcher: Watcher) -> None:
    leave(store, "cut")
    leave(store, "lives")
    steps = iter(range(100, 200))
    for _ in range(int(STILL_S / LOOK_S)):
        assert watcher.look() == []
        put(store, "lives", counter=next(steps))
    assert watcher.look() == ["cut"]
    put(store, "lives", counter=next(steps))
    assert (watcher.look(), watcher.ledger.runs) == ([], ["cut"])
    claim = read_claim(store, RunId("cut"))
    assert claim and claim.holder == "watcher"
    assert load_state(store, RunId("cut")).resumes == 0, "no person has resumed it: what failed is not tried again"


def test_whose_process_has_ended_on_this_machine_is_followed_unless_it_is_started_again(
    store: Flaky, watcher: Watcher
) -> None:
    for name in ("cut", "restarted"):
        leave(store, name, ended=True)
    assert watcher.look() == []
    put(store, "restarted", counter=1, token="of its next process", process="elsewhere|1")
    assert watcher.look() == ["cut"]


def test_looks_that_the_store_did_not_answer_do_not_count(store: Flaky, watcher: Watcher) -> None:
    leave(store, "cut")
    assert watcher.look() == []
    store.away = True
    for _ in range(10):
        with pytest.raises(StoreError):
            watcher.look()
        watcher.now += LOOK_S
    store.away = False
    assert watcher.look() == []
    put(store, "cut", counter=7)  # its holder steps, now that it can
    assert not any(watcher.look() for _ in range(int(STILL_S / LOOK_S)))


def test_what_belongs_to_a_users_process_is_left_to_him(store: Flaky, watcher: Watcher) -> None:
    leave(store, "his", ended=True, mode="local")
    assert [watcher.look() for _ in range(3)] == [[], [], []]


def test_what_can_never_run_here_waits_until_it_can(store: Flaky, watcher: Watcher) -> None:
    leave(store, "cut", ended=True)
    watcher.lacking = "it needs 8 GPU, and no node has any"
    assert [watcher.look() for _ in range(3)] == [[], [], []]
    assert not load_state(store, RunId("cut")).phase.is_terminal
    watcher.lacking = ""
    assert watcher.look() == ["cut"]


def test_a_run_whose_record_is_damaged_keeps_no_other_from_being_continued(
    store: Flaky, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("bad", "good"):
        leave(store, name, ended=True)
    key = segment_key(RunId("bad"), 1)
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    assert [watcher.look() for _ in range(3)] == [[], ["good"], []]
    told = [record.getMessage() for record in caplog.records if "run bad" in record.getMessage()]
    assert len(told) == 1 and key in told[0], "it is said once"


def test_a_run_that_ended_with_its_holder_is_closed(store: Flaky, watcher: Watcher) -> None:
    leave(store, "over", ended=True)
    claim = read_claim(store, RunId("over"))
    assert claim
    other = Ledger(store, Room(), "other")
    other.resume(RunId("over"), {}, by_person=False)
    other.abort(RunId("over"), "a0", "enough", "me@host")
    other.close()
    put(store, "over", **claim._asdict())
    watcher.look()
    assert watcher.look() == ["over"]
    watcher.ledger.close()
    assert (watcher.ledger.runs, read_claim(store, RunId("over"))) == ([], None)


def test_a_run_is_left_to_its_user_until_his_key_is_here(
    store: Flaky, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    leave(store, "known", ended=True, key="k1", pickles="sign")
    leave(store, "unknown", ended=True, key="k2", pickles="sign")
    leave(store, "needless", ended=True, key="k2", pickles="refuse")
    found = [run for _ in range(3) for run in watcher.look()]
    assert sorted(found) == ["known", "needless"]
    assert caplog.text.count("run unknown was cut off and is not continued here: this cluster lacks key k2") == 1
    watcher.keys.add("k2")
    assert watcher.look() == ["unknown"]


class HangsWithOne(Flaky):
    """Says nothing when a run's log is read, until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.hung, self.hanging, self.over = "", threading.Event(), threading.Event()

    def get(self, key: str) -> bytes:
        if self.hung and key.startswith(f"runs/{self.hung}/"):
            self.hanging.set()
            self.over.wait(60)
        return super().get(key)


def test_a_run_whose_store_hangs_holds_back_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyte_ray.ledger.adoption.PATIENT_S", 0.5)
    store = HangsWithOne()
    for name in ("a-hangs", "b-goes-on"):
        leave(store, name, ended=True)
    store.hung = "a-hangs"
    watcher = Watcher(store)
    watcher.look()
    watcher.look()
    assert store.hanging.is_set()
    wait_until(lambda: watcher.ledger.runs == ["b-goes-on"], "the second run goes on")
    late = RunId("c-comes-later")
    leave(store, late, ended=True)
    for _ in range(2):
        watcher.look()  # though the first one still hangs
    wait_until(lambda: late in watcher.ledger.runs, "the third run goes on")
    store.over.set()
    wait_until(lambda: len(watcher.ledger.runs) == 3, "the first run goes on")
    watcher.ledger.close()


def test_no_more_runs_than_there_are_threads_are_seen_to_at_a_time() -> None:
    side, gate, begun = SideBySide(2), threading.Event(), []

    def see_to(run: RunId) -> None:
        begun.append(run)
        gate.wait(60)

    overs = [side.begin(RunId(f"r{number}"), partial(see_to, RunId(f"r{number}"))) for number in range(5)]
    wait_until(lambda: len(begun) == 2, "two are seen to")
    assert side.begin(RunId("r0"), lambda: begun.append(RunId("twice"))) is overs[0]
    assert len(side.runs) == 5
    gate.set()
    assert all(over.wait(60) for over in overs)
    assert sorted(begun) == ["r0", "r1", "r2", "r3", "r4"] and not side.runs


def test_a_run_for_which_there_is_no_thread_is_begun_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    side, done = SideBySide(2), threading.Event()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            side.begin(RunId("one"), done.set)
    assert side.runs == frozenset()
    assert side.begin(RunId("one"), done.set).wait(60)
    assert done.is_set()
