"""Whose memory it was that a node lacked, and what shares its slot with nothing for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger import service
from flyte_ray.ledger.losses import MAX_DELAY_S, MEMORY, Loss
from flyte_ray.ledger.messages import Limits, Result, TaskRef, Work
from flyte_ray.spec.phase import ActionPhase
from tests.unit.test_ledger_limits import RUN, Clock, Cluster, PlayedSlot, call, task

MIB = 1024**2
BOUNDED = task(options='{"memory": 1}', limits=Limits(memory_request=100 * MIB, memory_limit=100 * MIB))
Play = Callable[[TaskRef], Cluster]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    clusters: list[Cluster] = []
    clock = Clock()
    monkeypatch.setattr(service, "now_us", clock)

    def begin(ref: TaskRef) -> Cluster:
        clusters.append(Cluster(clock, ref))
        return clusters[-1]

    yield begin
    for cluster in clusters:
        for ledger in cluster.ledgers:
            ledger.close()


def newest(cluster: Cluster) -> PlayedSlot:
    return PlayedSlot(cluster, cluster.launched[-1])


def names(orders: list[Any]) -> list[str]:
    return [order.action for order in orders if type(order) is Work]


def ended_by_ray(cluster: Cluster, used: int, *, heavy: bool) -> None:
    """Have Ray end the slot in which the root runs alone."""
    slot = newest(cluster)
    slot.say()
    slot.say(want=0, active="a0")
    cluster.ledger.slot_ended(RUN, slot.name, Loss("Ray ended it", MEMORY, used * MIB, heavy))


@pytest.mark.parametrize(
    ("ref", "used", "heavy", "says"),
    [
        (BOUNDED, 101, False, "may use 100 MiB of memory and used 101 MiB at its peak. Ask for more by"),
        (
            task(),
            3000,
            True,
            "used 3000 MiB of memory at its peak, more than any other task on its node. Ray",
        ),
    ],
)
def test_what_used_more_than_it_may_or_the_most_fails_for_lack_of_memory(
    play: Play, ref: TaskRef, used: int, heavy: bool, says: str
) -> None:
    cluster = play(ref)
    ended_by_ray(cluster, used, heavy=heavy)
    error = json.loads(cluster.root.result or "")
    assert (error["code"], error["kind"]) == ("OOMError", "user")
    assert says in error["message"]


@pytest.mark.parametrize(("ref", "used", "heavy"), [(BOUNDED, 99, True), (task(), 99, False)])
def test_what_was_ended_for_the_memory_of_others_runs_again(play: Play, ref: TaskRef, used: int, heavy: bool) -> None:
    cluster = play(ref)
    ended_by_ray(cluster, used, heavy=heavy)
    assert (cluster.root.phase, cluster.root.losses, cluster.root.displaced) == (ActionPhase.QUEUED, 0, 1)


def test_what_rays_own_kill_struck_gets_more_memory_where_it_asked_for_that(play: Play) -> None:
    limits = Limits(memory_request=100 * MIB, memory_limit=200 * MIB, grow=True)
    cluster = play(task(options='{"memory": 1}', limits=limits))
    ended_by_ray(cluster, 150, heavy=False)
    assert (cluster.root.phase, cluster.root.growths) == (ActionPhase.QUEUED, 1)


def test_of_several_in_a_slot_the_one_that_ran_is_set_apart_before_anybody_is_told(play: Play) -> None:
    cluster = play(task())
    slot = newest(cluster)
    slot.say()
    slot.say(call("x", cluster.task), waiting=frozenset({"a0"}), lone=frozenset({"a0"}))
    slot.say(want=0, active="x")
    cluster.ledger.slot_ended(RUN, slot.name, Loss("Ray ended it", MEMORY, 3000 * MIB, heavy=True))
    child = cluster.book.state.actions["x"]
    assert (child.phase, child.losses, cluster.root.losses) == (ActionPhase.QUEUED, 1, 0)


def test_what_began_last_in_a_slot_is_the_suspect_where_ray_ended_the_ledger_too(play: Play) -> None:
    cluster = play(task())
    slot = newest(cluster)
    slot.say()
    cluster.clock.us += 1
    slot.say(call("x", cluster.task), waiting=frozenset({"a0"}), lone=frozenset({"a0"}))
    cluster.restart(alive=[slot.name])
    cluster.ledger.slot_ended(RUN, slot.name, Loss("Ray ended it", MEMORY, 3000 * MIB, heavy=True))
    assert [cluster.book.state.actions[name].losses for name in ("a0", "x")] == [0, 1]


def test_what_has_a_memory_limit_is_neither_above_nor_beneath_another(play: Play) -> None:
    cluster = play(BOUNDED)
    slot = newest(cluster)
    slot.say()
    a0 = frozenset({"a0"})
    assert names(slot.say(call("x", BOUNDED), waiting=a0, lone=a0)) == []
    assert names(newest(cluster).say()) == ["x"]


def test_what_earlier_actions_left_in_a_process_is_told_from_its_own_in_a_fresh_one(play: Play) -> None:
    cluster = play(task(shape="other"))
    cluster.others.append(BOUNDED)
    root = newest(cluster)
    root.shape = "other"
    root.say()
    root.say(*(call(name, BOUNDED) for name in "xyz"), waiting=frozenset({"a0"}))
    cluster.after(1)
    first, second = (PlayedSlot(cluster, name) for name in cluster.launched[1:3])
    (x,), (y,) = first.say(), second.say()
    assert type(x) is type(y) is Work
    assert names(first.say(Result(x.action, 0, kinds.SUCCEEDED, "1", False, 0.1, None))) == ["z"]
    first.say(want=0, active="z", ends=True)  # z takes too much, perhaps because of x
    cluster.ledger.slot_ended(RUN, first.name, Loss("killed"))
    cluster.after(MAX_DELAY_S)
    assert names(second.say(Result(y.action, 0, kinds.SUCCEEDED, "1", False, 0.1, None))) == []
    fresh = newest(cluster)
    assert fresh.name not in (first.name, second.name)
    assert [(order.action, order.attempt) for order in fresh.say() if type(order) is Work] == [("z", 1)]
    assert cluster.book.state.actions["z"].displaced == 1
