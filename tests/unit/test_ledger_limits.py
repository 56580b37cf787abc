"""What the ledger does by its clock: backoffs and time limits, also after it was restarted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger import service
from flyte_ray.ledger.messages import Message, Order, Result, TaskRef, Work
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.ids import RunId
from tests.unit.test_ledger_faults import MemoryStore

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
        self.ledgers = [Ledger(self.store, self, "holder")]
        self.ledger.start(Start(RUN, "n", task, "{}"))

    @property
    def ledger(self) -> Ledger:
        return self.ledgers[-1]

    @property
    def root(self) -> ActionState:
        return self.ledger._books[RUN].state.root

    def restart(self) -> None:
        self.ledger._books[RUN].recorder.commit()
        self.ledgers.append(Ledger(self.store, self, "holder"))
        self.ledger.resume(RUN, {}, by_person=False, tasks={})

    def after(self, seconds: float) -> None:
        self.clock.us += round(seconds * 1e6)
        self.ledger.tick()

    def launch(self, slot: str, run: RunId, shape: str, options: str) -> None:
        self.launched.append(slot)

    def kill(self, slot: str) -> None:
        self.killed.append(slot)

    def capacity(self, options: str) -> int:
        return 4

    def may_grow(self, options: str) -> bool:
        return False


class PlayedSlot:
    """Says what the test has it say, in messages that arrive."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.seq = self.first = self.received = self.epoch = 0
        self.orders: list[Order] = []

    def say(self, *items: Any, want: int = 1, **about: Any) -> list[Order]:
        """Send a message and return the orders that are new since the last one."""
        self.seq += 1
        tasks = {self.cluster.task.key: self.cluster.task}
        self.cluster.ledger.exchange(
            Message(
                self.name, RUN, "s", self.seq, self.epoch, self.first, list(items), self.received, tasks, want, **about
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
