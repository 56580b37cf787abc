"""Who is to blame when a slot is lost, and how often an action may be lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger import service
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.losses import LAUNCHER, MAX_DELAY_S, MAX_DISPLACED, MAX_LOSSES, NODE, Loss, delay_s
from flyte_ray.ledger.messages import Bye, Held, Order, Outcome, Result, Work
from flyte_ray.ledger.roll_call import SILENT_US
from tests.unit.test_ledger_limits import RUN, Clock, Cluster, PlayedSlot, call, task

WAITS: Final[dict[str, Any]] = {"waiting": frozenset({"a0"}), "lone": frozenset({"a0"})}
KILLED: Final = Loss("killed")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(service, "now_us", found)
    return found


@pytest.fixture
def cluster(clock: Clock) -> Iterator[Cluster]:
    found = Cluster(clock, task())
    yield found
    for ledger in found.ledgers:
        ledger.close()


@pytest.fixture
def gpus(clock: Clock) -> Iterator[Cluster]:
    found = Cluster(clock, task(options='{"num_gpus": 1}'))
    yield found
    for ledger in found.ledgers:
        ledger.close()


def begun(cluster: Cluster, *, says: bool) -> PlayedSlot:
    """Start the newest slot and have it run the root, which it may have told us."""
    slot = PlayedSlot(cluster, cluster.launched[-1])
    assert names(slot.say()) == ["a0"]
    if says:
        slot.say(want=0, active="a0")
    return slot


def lose(cluster: Cluster, slot: PlayedSlot, loss: Loss = KILLED) -> None:
    """Lose a slot, and wait until another one is started."""
    count = len(cluster.launched)
    cluster.ledger.slot_ended(RUN, slot.name, loss)
    cluster.after(MAX_DELAY_S + 0.1)
    assert len(cluster.launched) > count


def counts(cluster: Cluster, name: str = "a0") -> tuple[int, int]:
    """How often an action was the suspect of a loss, and how often it was displaced."""
    action = cluster.book.state.actions[name]
    return action.losses, action.displaced


def names(orders: list[Order]) -> list[str]:
    return [order.action for order in orders if type(order) is Work]


def test_a_parent_that_waits_has_no_part_in_the_end_of_the_child_above_it(cluster: Cluster) -> None:
    slot = begun(cluster, says=False)
    assert names(slot.say(call("x", cluster.task), **WAITS)) == ["x"]
    slot.say(want=0, active="x")
    lose(cluster, slot)
    assert (counts(cluster), counts(cluster, "x")) == ((0, 1), (1, 0))


def test_a_parent_that_waits_for_another_slot_is_displaced(cluster: Cluster) -> None:
    other = task(shape="other")
    cluster.others.append(other)
    slot = begun(cluster, says=True)
    slot.say(call("x", other), want=0, **WAITS)
    lose(cluster, slot)
    assert counts(cluster) == (0, 1)


def test_what_was_under_way_to_a_slot_that_died_is_watched_before_it_is_blamed(cluster: Cluster) -> None:
    for displaced in range(3):
        slot = PlayedSlot(cluster, cluster.launched[-1])
        (work,) = slot.say()
        assert type(work) is Work and work.watched == (displaced >= 2)
        lose(cluster, slot)
        assert counts(cluster) == (0, displaced + 1)
    lose(cluster, begun(cluster, says=True))
    assert counts(cluster) == (1, 3)


def test_the_fourth_slot_that_an_action_takes_down_fails_it(cluster: Cluster) -> None:
    for _ in range(MAX_LOSSES):
        lose(cluster, begun(cluster, says=True))
    cluster.ledger.slot_ended(RUN, begun(cluster, says=True).name, KILLED)
    error = json.loads(cluster.root.result or "")
    assert (error["code"], error["kind"]) == ("SlotLostError", "system")
    assert "4 slots were lost while they ran e.t (a0); the last one: killed. Look for" in error["message"]


def test_a_suspect_runs_alone_and_its_children_elsewhere(cluster: Cluster) -> None:
    lose(cluster, begun(cluster, says=True))
    slot = begun(cluster, says=False)
    assert names(slot.say(call("x", cluster.task), **WAITS)) == []
    assert names(PlayedSlot(cluster, cluster.launched[-1]).say()) == ["x"]


def test_where_waiting_slots_keep_what_others_need_a_suspects_children_run_above_it(gpus: Cluster) -> None:
    lose(gpus, begun(gpus, says=True))
    slot = begun(gpus, says=False)
    assert names(slot.say(call("x", gpus.task), **WAITS)) == ["x"]


def test_losses_of_nodes_and_of_the_launcher_count_apart_and_have_a_bound_of_their_own(cluster: Cluster) -> None:
    for count in range(MAX_DISPLACED):
        assert counts(cluster) == (0, count)
        lose(cluster, begun(cluster, says=True), Loss("gone", NODE if count % 2 else LAUNCHER))
    cluster.ledger.slot_ended(RUN, begun(cluster, says=True).name, Loss("its node (10.0.0.1) is gone", NODE))
    error = json.loads(cluster.root.result or "")
    assert error["code"] == "Interrupted"
    assert "lost its slot 101 times, though not by its own doing; the last time: its node (10.0" in error["message"]


def test_an_attempt_that_ran_for_longer_than_the_pause_begins_again_at_once(cluster: Cluster) -> None:
    for count in range(9):
        slot = begun(cluster, says=False)
        cluster.after(MAX_DELAY_S)
        cluster.ledger.slot_ended(RUN, slot.name, KILLED)
        assert (len(cluster.launched), cluster.root.ready_us) == (count + 2, 0)


def test_the_first_loss_is_made_good_at_once_and_the_next_ones_after_a_pause(cluster: Cluster) -> None:
    assert [delay_s(count) for count in (1, 2, 3, 100)] == [0, 0.25, 0.5, MAX_DELAY_S]
    cluster.ledger.slot_ended(RUN, begun(cluster, says=True).name, KILLED)
    assert len(cluster.launched) == 2
    cluster.ledger.slot_ended(RUN, begun(cluster, says=True).name, KILLED)
    assert len(cluster.launched) == 2
    cluster.restart()  # which does not forget the pause
    cluster.after(0.2)
    assert len(cluster.launched) == 2
    cluster.after(0.1)
    assert len(cluster.launched) == 3


def test_what_was_lost_while_no_ledger_was_there_blames_nobody(cluster: Cluster) -> None:
    begun(cluster, says=True)
    cluster.restart()
    assert counts(cluster) == (0, 1)


def test_a_slot_that_dies_before_it_has_attached_to_a_restarted_ledger_blames_nobody(cluster: Cluster) -> None:
    slot = begun(cluster, says=True)
    cluster.restart(alive=[slot.name])
    cluster.ledger.slot_ended(RUN, slot.name, KILLED)
    assert counts(cluster) == (0, 1)


def test_a_slot_that_says_that_it_is_being_ended_blames_nobody(cluster: Cluster) -> None:
    slot = begun(cluster, says=True)
    slot.say(want=1, active="a0", ends=True)
    lose(cluster, slot)
    assert counts(cluster) == (0, 1)


def test_with_its_launcher_every_slot_is_lost_and_what_it_still_says_is_not_heard(cluster: Cluster) -> None:
    slot = PlayedSlot(cluster, cluster.launched[0])
    (work,) = slot.say()
    assert type(work) is Work
    slot.say(want=0, active="a0")
    cluster.ledger.launcher_ended()
    assert [type(order) for order in slot.news()] == [Bye]
    assert counts(cluster) == (0, 1)
    assert len(cluster.launched) == 2  # its place is taken at once
    slot.say(Result("a0", work.attempt, kinds.SUCCEEDED, "1", False, 0.1, None))
    assert names(PlayedSlot(cluster, cluster.launched[1]).say()) == ["a0"]


def test_a_slot_that_is_silent_after_a_restart_is_ended_and_its_work_queued_again(cluster: Cluster) -> None:
    slot = begun(cluster, says=True)
    cluster.restart(alive=[slot.name])
    cluster.after(SILENT_US / 1e6 + 1)
    assert cluster.killed == [slot.name]
    assert names(PlayedSlot(cluster, cluster.launched[-1]).say()) == ["a0"]  # no death is reported


def test_a_person_who_continues_the_run_clears_what_was_counted(cluster: Cluster) -> None:
    lose(cluster, begun(cluster, says=True))
    begun(cluster, says=True)
    assert counts(cluster) == (1, 0)
    cluster.restart(by_person=True)
    assert counts(cluster) == (0, 1)  # since then


def test_the_record_says_why_a_slot_was_lost(cluster: Cluster) -> None:
    lose(cluster, begun(cluster, says=True), Loss("its node (10.0.0.1) was preempted", "preempted"))
    cluster.book.recorder.commit()
    events = [event for _, segment in read_segments(cluster.store, RUN) for event in segment.events]
    (body,) = (event.body for event in events if event.kind == kinds.LOST)
    told = {"reason": "its node (10.0.0.1) was preempted", "cause": "preempted", "to_blame": False}
    assert json.loads(body or "") == told


def test_what_a_parent_went_on_with_counts_before_its_end_though_no_ledger_stored_it(cluster: Cluster) -> None:
    first = begun(cluster, says=False)
    cluster.others.append(task(name="e.child"))
    first.say(call("x", cluster.others[0]), want=0, waiting=frozenset({"a0"}))
    cluster.book.recorder.commit()
    first.say(want=0, waiting=frozenset({"a0"}))  # hears that its call is stored
    cluster.restart(alive=[first.name])
    first.say(want=0)
    # Before that restart another slot had ended x, and the parent went on with its outcome and ended too.
    held = Held([], [], [Outcome("x", kinds.SUCCEEDED, "1")])
    first.say(Result("a0", 0, kinds.SUCCEEDED, "2", False, 0.1, None), held=held)
    assert {name: action.phase.value for name, action in cluster.book.state.actions.items()} == {
        "a0": "succeeded",
        "x": "succeeded",
    }
