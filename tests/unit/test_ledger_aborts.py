"""What an attempt had done or begun by itself when it is stopped, and the ledger had not heard of that."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from flyte_ray.errors import RunFencedError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.book import LAST_WORDS_S
from flyte_ray.ledger.deleting import delete_run
from flyte_ray.ledger.messages import Call, Cancel, Limits, Outcome, Result, TaskRef, Work
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.phase import ActionPhase
from tests.cancelled import wait_until
from tests.unit.test_ledger_limits import RUN, Clock, Cluster, PlayedSlot, clock, task

__all__ = ["clock"]
CHILD = task(name="e.child")
Play = Callable[[TaskRef], tuple[Cluster, PlayedSlot]]


@pytest.fixture
def play(clock: Clock) -> Iterator[Play]:
    """Start a run, and play the slot that has its root."""
    clusters: list[Cluster] = []

    def start(root: TaskRef) -> tuple[Cluster, PlayedSlot]:
        cluster = Cluster(clock, root)
        clusters.append(cluster)
        cluster.others.append(CHILD)
        slot = PlayedSlot(cluster, cluster.launched[0])
        slot.say()
        return cluster, slot

    yield start
    for cluster in clusters:
        for ledger in cluster.ledgers:
            ledger.close()


def told(name: str, parent: str = "a0") -> Call:
    return Call(name, parent, CHILD.key, "{}", None, None, told=True)


def ended(name: str, kind: str = kinds.SUCCEEDED) -> Result:
    body = (
        "7" if kind == kinds.SUCCEEDED else json.dumps({"code": kind, "kind": "user", "message": "", "traceback": ""})
    )
    return Result(name, 0, kind, body, False, 0.001, None)


def stored(cluster: Cluster) -> dict[str, ActionState]:
    """The record, when the ledger has let the run go."""

    def is_over() -> bool:
        cluster.ledger.tick()
        return not cluster.ledger.runs

    wait_until(is_over, "the run does not end")
    return load_state(cluster.store, RUN).actions


def test_what_had_succeeded_in_a_slot_when_its_run_is_aborted_is_kept(play: Play) -> None:
    cluster, slot = play(task())
    cluster.ledger.abort(RUN, "a0", "enough", "me@here")
    cluster.book.recorder.commit()
    cluster.ledger.tick()
    assert cluster.ledger.runs == [RUN], "the slot has not had its last words"
    slot.say(told("x"), ended("x"), ended("a0", kinds.ABORTED))
    found = stored(cluster)
    assert {name: (each.phase, each.result) for name, each in found.items() if name != "a0"} == {
        "x": (ActionPhase.SUCCEEDED, "7")
    }
    cluster.ledger.resume(RUN, {}, by_person=True)
    again = PlayedSlot(cluster, cluster.launched[-1])
    again.say()
    assert again.say(told("x")._replace(told=False)) == [Outcome("x", kinds.SUCCEEDED, "7")]


def test_what_a_slot_had_begun_when_its_run_is_aborted_is_stopped_and_on_record_with_the_reason(play: Play) -> None:
    cluster, slot = play(task())
    cluster.ledger.abort(RUN, "a0", "enough", "me@here")
    orders = slot.say(told("x"), told("y", "x"), want=0)
    orders += slot.say(want=0)
    assert {order.action for order in orders if type(order) is Cancel} == {"a0", "x", "y"}
    slot.say(ended("y", kinds.ABORTED), ended("x"), ended("a0", kinds.ABORTED))
    for each in stored(cluster).values():
        assert each.phase is ActionPhase.ABORTED and json.loads(each.result or "")["by"] == "me@here", each


def test_the_end_of_a_run_waits_a_moment_and_no_longer_for_a_slot_that_says_nothing(play: Play) -> None:
    cluster, _ = play(task())
    cluster.ledger.abort(RUN, "a0", "enough", "me@here")
    cluster.book.recorder.commit()
    cluster.after(LAST_WORDS_S - 0.1)
    assert cluster.ledger.runs == [RUN]
    cluster.after(0.2)
    assert cluster.ledger.runs == []


def test_a_run_that_is_deleted_by_who_is_told_of_its_end_leaves_nothing_behind(play: Play) -> None:
    cluster, slot = play(task())

    def delete(_: object) -> None:
        delete_run(cluster.store, RUN)

    cluster.ledger.wait(RUN, delete)
    slot.say(ended("a0"))
    cluster.book.recorder.commit()
    cluster.ledger.tick()
    assert cluster.ledger.runs == []
    cluster.ledger.close()
    assert cluster.store.keys("") == []


def test_an_abort_of_one_action_is_answered_when_it_is_stored(play: Play) -> None:
    cluster, slot = play(task())
    (work,) = slot.say(told("x")._replace(told=False), waiting=frozenset({"a0"}))
    assert type(work) is Work
    told_in_time: list[Exception | None] = []
    with cluster.store.lock:  # the store takes nothing
        assert cluster.ledger.abort(RUN, "x", "not wanted", "me@here")
        cluster.ledger.when_stored(RUN, told_in_time.append)
        cluster.ledger.tick()
        assert told_in_time == []
    wait_until(lambda: told_in_time == [None], "nobody was told")
    assert load_state(cluster.store, RUN).actions["x"].phase is ActionPhase.ABORTED


def test_who_waits_for_an_abort_is_told_that_another_ledger_continues_the_run(play: Play) -> None:
    cluster, slot = play(task())
    (work,) = slot.say(told("x")._replace(told=False), waiting=frozenset({"a0"}))
    cluster.book.recorder.commit()
    other = Ledger(cluster.store, cluster, "other")
    other.resume(RUN, {}, by_person=True, take_over=True)
    heard: list[Exception | None] = []
    assert type(work) is Work and cluster.ledger.abort(RUN, work.action, "not wanted", "me@here")
    cluster.ledger.when_stored(RUN, heard.append)
    wait_until(lambda: bool(heard), "nobody was told")
    assert type(heard[0]) is RunFencedError
    other.close()


def test_a_resume_that_comes_while_the_end_is_being_stored_continues_the_run(play: Play) -> None:
    cluster, slot = play(task())
    resuming = threading.Thread(target=lambda: cluster.ledger.resume(RUN, {}, by_person=True))
    with cluster.store.lock:  # the store takes nothing
        slot.say(ended("a0", kinds.FAILED))
        resuming.start()
        wait_until(lambda: cluster.book.end_mark is not None, "the run does not end")
    resuming.join(60)
    assert (cluster.root.phase, cluster.book.state.resumes) == (ActionPhase.QUEUED, 1)


def test_what_an_attempt_that_ran_out_of_time_had_begun_is_run_again_by_the_next(play: Play) -> None:
    cluster, slot = play(task(retries=1, limits=Limits(max_runtime_s=10)))
    slot.say(want=0, active="a0")
    cluster.after(11)
    slot.say(told("done"), ended("done"), told("begun"), want=0)
    late = [ended("begun", kinds.ABORTED), ended("a0", kinds.ABORTED)]
    (work,) = [order for order in slot.say(*late) if type(order) is Work]
    assert (work.action, work.attempt) == ("a0", 1)
    calls = [told(name)._replace(told=False) for name in ("done", "begun")]
    orders = slot.say(*calls, waiting=frozenset({"a0"}))
    assert Outcome("done", kinds.SUCCEEDED, "7") in orders
    assert [(order.action, order.attempt) for order in orders if type(order) is Work] == [("begun", 1)]
