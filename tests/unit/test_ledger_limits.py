"""What the ledger does by its clock: backoffs and time limits, also after it was restarted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger import opening, service
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.grace import GRACE_S
from flyte_ray.ledger.limits import BEGIN_S
from flyte_ray.ledger.losses import Loss
from flyte_ray.ledger.messages import OUT_OF_MEMORY, Call, Cancel, Limits, Message, Order, Result, TaskRef, Work
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from tests.unit.memory_store import MemoryStore

RUN = RunId("r")
FAILURE = json.dumps({"code": "ValueError", "kind": "user", "message": "boom", "traceback": ""})


class Clock:
    us = 1_000_000_000_000_000

    def __call__(self) -> int:
        return self.us


class Cluster:
    """A ledger whose slots are played by the test."""

    def __init__(self, clock: Clock, task: TaskRef) -> None:
        self.clock, self.task, self.store = clock, task, MemoryStore()
        self.launched: list[str] = []
        self.killed: list[str] = []
        self.launched_options: list[str] = []
        self.others: list[TaskRef] = []
        self.ledgers = [Ledger(self.store, self, "holder")]
        self.ledger.start(Start(RUN, "n", task, "{}"))

    @property
    def ledger(self) -> Ledger:
        return self.ledgers[-1]

    @property
    def book(self) -> RunBook:
        book = self.ledger.book(RUN)
        assert book is not None
        return book

    @property
    def root(self) -> ActionState:
        return self.book.state.root

    def restart(self, alive: Iterable[str] = (), *, by_person: bool = False) -> None:
        self.book.recorder.commit()
        self.ledgers.append(Ledger(self.store, self, "holder"))
        self.ledger.resume(RUN, dict.fromkeys(alive, "s"), by_person=by_person)

    def after(self, seconds: float) -> None:
        self.clock.us += round(seconds * 1e6)
        self.ledger.tick()

    def launch(self, slot: str, run: RunId, shape: str, options: str, pool: object = None, own: bool = False) -> None:
        self.launched.append(slot)
        self.launched_options.append(options)

    def kill(self, slot: str) -> None:
        self.killed.append(slot)

    recall = kill

    def retire(self, run: RunId) -> None: ...

    def spare(self, names: frozenset[str]) -> None: ...

    def capacity(self, options: str) -> int:
        return 4

    def scarce(self, options: str) -> frozenset[str]:
        return frozenset()

    def may_grow(self, options: str) -> bool:
        return False


class PlayedSlot:
    """Says what the test has it say, in messages that arrive."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.seq = self.first = self.received = self.epoch = 0
        self.orders: list[Order] = []
        self.shape = "s"

    def say(self, *items: Any, want: int = 1, **about: Any) -> list[Order]:
        """Send a message and return the orders that are new since the last one."""
        self.seq += 1
        tasks = {ref.key: ref for ref in (self.cluster.task, *self.cluster.others)}
        self.cluster.ledger.exchange(
            Message(
                self.name,
                RUN,
                self.shape,
                self.seq,
                self.epoch,
                self.first,
                list(items),
                self.received,
                tasks,
                want,
                **about,
            ),
            self._hear,
        )
        self.first += len(items)
        return self.news()

    def _hear(self, reply: Any) -> None:
        self.epoch = reply.epoch
        self.orders += reply.orders[max(0, self.received - reply.first) :]
        self.received = max(self.received, reply.first + len(reply.orders))

    def news(self) -> list[Order]:
        """Return the orders that have arrived since the last call."""
        news, self.orders = self.orders, []
        return news


def task(**changes: Any) -> TaskRef:
    return TaskRef("e.t", "m", "t", None, "s", "{}", 0, None, False)._replace(**changes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(service, "now_us", found)
    return found


@pytest.fixture
def play(clock: Clock) -> Iterator[Any]:
    clusters: list[Cluster] = []

    def begin(ref: TaskRef) -> tuple[Cluster, PlayedSlot]:
        clusters.append(Cluster(clock, ref))
        return clusters[-1], PlayedSlot(clusters[-1], clusters[-1].launched[0])

    yield begin
    for cluster in clusters:
        for ledger in cluster.ledgers:
            ledger.close()


def failed(work: Order) -> Result:
    assert type(work) is Work
    return Result(work.action, work.attempt, kinds.FAILED, FAILURE, True, 0.1, None)


def works(orders: list[Order]) -> list[int]:
    return [order.attempt for order in orders if type(order) is Work]


def stopped(orders: list[Order]) -> list[str]:
    return [order.action for order in orders if type(order) is Cancel]


def aborted(work: Order) -> Result:
    assert type(work) is Work
    return Result(work.action, work.attempt, kinds.ABORTED, "{}", False, 0.1, None)


def call(name: str, ref: TaskRef, parent: str = "a0") -> Call:
    return Call(name, parent, ref.key, "{}", None, None, told=False)


def test_a_restart_of_the_ledger_neither_forgets_nor_prolongs_a_backoff(play: Any) -> None:
    cluster, slot = play(task(retries=1, backoff=(60.0, 1.0, None)))
    (work,) = slot.say()
    assert slot.say(failed(work)) == []
    cluster.after(20)
    cluster.restart()
    cluster.after(39)
    assert len(cluster.launched) == 1
    cluster.after(2)
    assert works(PlayedSlot(cluster, cluster.launched[1]).say()) == [1]


def test_the_running_time_counts_from_when_the_slot_says_that_it_began(play: Any) -> None:
    cluster, slot = play(task(limits=Limits(max_runtime_s=10)))
    slot.say()
    cluster.after(20)  # the import of its module
    slot.say(want=0, active="a0")
    cluster.after(9)
    assert slot.news() == []
    cluster.after(2)
    assert stopped(slot.news()) == ["a0"]
    assert cluster.root.phase is ActionPhase.TIMED_OUT


def test_a_slot_that_never_says_that_it_began_is_stopped_too(play: Any) -> None:
    cluster, slot = play(task(limits=Limits(max_runtime_s=10)))
    slot.say()
    slot.say(want=0)
    cluster.after(BEGIN_S + 11)
    assert stopped(slot.news()) == ["a0"]


def test_the_next_attempt_waits_until_the_last_one_has_left_its_slot(play: Any) -> None:
    cluster, slot = play(task(retries=1, limits=Limits(max_runtime_s=10)))
    (work,) = slot.say()
    slot.say(want=0, active="a0")
    cluster.after(11)
    assert stopped(slot.news()) == ["a0"]
    cluster.after(4)
    assert len(cluster.launched) == 1
    assert works(slot.say(aborted(work))) == [1]
    assert cluster.root.failures == 1


def test_a_slot_that_does_not_stop_is_killed_and_blames_nobody(play: Any) -> None:
    child = task(name="e.child", retries=1, limits=Limits(max_runtime_s=10))
    cluster, slot = play(child)
    slot.say()
    slot.say(want=0, active="a0")
    cluster.after(11)
    cluster.after(GRACE_S + 0.1)
    assert cluster.killed == [slot.name]
    cluster.ledger.slot_ended(RUN, slot.name, Loss("killed"))
    assert works(PlayedSlot(cluster, cluster.launched[1]).say()) == [1]
    assert (cluster.root.failures, cluster.root.losses) == (1, 0)


def test_what_shared_a_slot_with_a_killed_attempt_runs_again_without_blame(play: Any) -> None:
    mate = task(name="e.mate")
    cluster, slot = play(task())
    cluster.others.append(mate)
    slot.say()
    (work,) = slot.say(call("x", mate), call("y", mate), waiting=frozenset({"a0"}))
    assert type(work) is Work
    slot.say(want=0, active=work.action)
    cluster.ledger.abort(RUN, work.action, "not wanted", "me@here")
    cluster.after(0)
    cluster.after(GRACE_S + 0.1)
    assert cluster.killed == [slot.name]
    cluster.ledger.slot_ended(RUN, slot.name, Loss("killed"))
    assert (cluster.root.phase, cluster.root.losses) == (ActionPhase.QUEUED, 0)


def test_what_has_a_limit_goes_to_a_slot_of_its_own(play: Any) -> None:
    limited, free = task(name="e.limited", limits=Limits(max_runtime_s=10)), task(name="e.free")
    cluster, slot = play(task())
    cluster.others += [limited, free]
    slot.say()
    assert works(slot.say(call("x", limited), waiting=frozenset({"a0"}))) == []
    other = PlayedSlot(cluster, cluster.launched[1])
    assert [order.action for order in other.say() if type(order) is Work] == ["x"]
    # Its own children may join it, others may not.
    slot.say(call("strange", free), want=0)
    other.say(call("own", free, "x"), want=0, active="x")
    assert [o.action for o in other.say(waiting=frozenset({"x"})) if type(o) is Work] == ["own"]
    assert other.say(waiting=frozenset({"x"})) == []
    assert [o.action for o in slot.say(waiting=frozenset({"a0"})) if type(o) is Work] == ["strange"]


def test_an_action_that_waits_too_long_for_a_slot_times_out(play: Any) -> None:
    cluster, _ = play(task(limits=Limits(max_queued_s=10)))
    cluster.after(11)
    assert cluster.root.phase is ActionPhase.TIMED_OUT
    assert json.loads(cluster.root.result or "")["code"] == "MaxQueuedTimeExceededError"


def test_a_backoff_does_not_count_as_time_in_the_queue(play: Any) -> None:
    cluster, slot = play(task(retries=1, backoff=(60.0, 1.0, None), limits=Limits(max_queued_s=10)))
    (work,) = slot.say()
    slot.say(failed(work), want=0)
    cluster.after(65)
    assert cluster.root.phase is ActionPhase.QUEUED
    cluster.after(6)
    assert cluster.root.phase is ActionPhase.TIMED_OUT


def test_who_continues_a_run_gives_it_time_anew_though_the_clock_ticks_while_it_is_opened(
    play: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, slot = play(task(retries=1, limits=Limits(deadline_s=60, max_runtime_s=60)))
    slot.say(active="a0")

    def load(*_: object) -> dict[str, Any]:
        cluster.ledger.tick()  # to read the outcomes of another run takes its time
        return {}

    monkeypatch.setattr(opening, "load_outcomes", load)
    clock.us += 3_600_000_000
    cluster.restart(by_person=True)
    cluster.after(1)
    assert (cluster.root.phase, cluster.root.failures, cluster.root.displaced) == (ActionPhase.QUEUED, 0, 1)


def test_a_restart_of_the_ledger_does_not_prolong_a_deadline(play: Any) -> None:
    cluster, slot = play(task(retries=9, backoff=(600.0, 1.0, None), limits=Limits(deadline_s=60)))
    (work,) = slot.say()
    slot.say(failed(work), want=0)
    cluster.after(30)
    cluster.restart()
    cluster.after(29)
    assert cluster.root.phase is ActionPhase.QUEUED
    cluster.after(2)
    assert cluster.root.phase is ActionPhase.TIMED_OUT


def test_an_attempt_that_was_short_of_memory_gets_a_slot_with_twice_as_much(play: Any) -> None:
    limits = Limits(memory_request=200, memory_limit=300, grow=True)
    cluster, slot = play(task(options='{"memory": 200}', limits=limits))
    (work,) = slot.say()
    assert type(work) is Work
    error = FAILURE.replace("ValueError", "OOMError")
    slot.say(Result(work.action, work.attempt, OUT_OF_MEMORY, error, True, 0.1, None), want=0, ends=True)
    cluster.ledger.slot_ended(RUN, slot.name, Loss("killed"))
    assert (cluster.root.growths, cluster.root.failures, cluster.root.losses) == (1, 0, 0)
    cluster.after(0)
    other = PlayedSlot(cluster, cluster.launched[-1])
    assert cluster.launched_options[-1] == '{"memory": 300}'
    other.shape = "s+memory=300"
    (again,) = other.say()
    assert type(again) is Work
    other.say(Result(again.action, again.attempt, OUT_OF_MEMORY, error, True, 0.1, None), want=0)
    assert cluster.root.phase is ActionPhase.FAILED
