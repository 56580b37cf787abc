"""What the ledger lets begin of queues with limits, and of runs with one of their own."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from flyte_ray.errors import InvalidDeclaration, ObjectMissing
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger import queues
from flyte_ray.ledger.messages import Call, Result, TaskRef, Work
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.queues import delete_queue, list_queues, put_queue
from flyte_ray.ledger.requests import Start
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.spec.queue import QueueLimits, parse_rate
from tests.unit.memory_store import MemoryStore
from tests.unit.test_ledger_limits import PlayedSlot, call, clock, play, task
from tests.waiting import within

__all__ = ["clock", "play"]
wait_until = within(30.0)
GPU = task(name="e.gpu", shape="g@gpu", queue="gpu")


def begin(play: Any, limits: QueueLimits | None, *names: str, ref: TaskRef = GPU) -> tuple[Any, PlayedSlot]:
    """Have a root call actions of the queue and wait for them."""
    cluster, root = play(task())
    cluster.others.append(ref)
    if limits:
        put_queue(cluster.store, limits, at_us=1, by="me")
    root.say()
    root.say(*(call(name, ref) for name in names), want=0, waiting=frozenset({"a0"}))
    cluster.after(6)  # the queues are looked for by a thread
    if limits:
        wait_until(lambda: cluster.ledger._progress.admission.knows(limits.name))
    cluster.after(0.5)
    return cluster, root


def serve(cluster: Any, number: int) -> PlayedSlot:
    """Have a slot that was asked for begin."""
    slot = PlayedSlot(cluster, cluster.launched[number])
    slot.shape = "g@gpu"
    return slot


def given(slot: PlayedSlot, *items: Any, **about: Any) -> list[str]:
    return [order.action for order in slot.say(*items, **about) if type(order) is Work]


def done(action: str) -> Result:
    return Result(action, 0, kinds.SUCCEEDED, "null", False, 5.0, None)


def test_no_more_slots_are_asked_for_than_a_queue_lets_run(play: Any) -> None:
    cluster, _ = begin(play, QueueLimits("gpu", 2), "x", "y", "z")
    assert len(cluster.launched) == 3  # the root's, and two
    assert cluster.book.held_back["g@gpu"].limits == {"queue gpu"}
    one, two = serve(cluster, 1), serve(cluster, 2)
    assert (given(one), given(two)) == (["x"], ["y"])
    assert given(one, done("x")) == ["z"]
    assert len(cluster.launched) == 3


def test_an_action_that_waits_for_its_own_takes_no_place(play: Any) -> None:
    cluster, _ = begin(play, QueueLimits("gpu", 1), "x")
    slot = serve(cluster, 1)
    assert given(slot) == ["x"]
    child = Call("y", "x", GPU.key, "{}", None, None, told=False)
    assert given(slot, child, waiting=frozenset({"x"})) == ["y"]


def test_a_queue_that_nobody_has_made_fails_what_asks_for_it(play: Any) -> None:
    cluster, _ = begin(play, None, "x")
    wait_until(lambda: cluster.book.state.actions["x"].phase is ActionPhase.FAILED)
    error = json.loads(cluster.book.state.actions["x"].result)
    assert error["code"] == "QueueNotFoundError"
    assert "should hold a queue 'gpu', but does not. There is none. 'flyte-ray create queue gpu" in error["message"]


def test_a_queue_that_is_deleted_keeps_its_limits_for_those_who_use_it(play: Any) -> None:
    cluster, _ = begin(play, QueueLimits("gpu", 1), "x", "y")
    delete_queue(cluster.store, "gpu")
    with pytest.raises(ObjectMissing, match="a queue 'gpu', but does not"):
        delete_queue(cluster.store, "gpu")
    cluster.after(6)
    assert given(serve(cluster, 1)) == ["x"]
    assert cluster.book.state.actions["y"].phase is ActionPhase.QUEUED


def test_a_run_that_begins_after_a_queue_was_deleted_does_not_find_it(play: Any) -> None:
    cluster, _ = begin(play, QueueLimits("gpu", 1), "x")
    delete_queue(cluster.store, "gpu")
    desk = cluster.ledger._progress._queues
    cluster.after(6)
    wait_until(lambda: not desk._looks)
    cluster.ledger.abort(RunId("r"), "a0", "enough", "me")
    wait_until(lambda: cluster.after(0.5) or not cluster.ledger.runs)
    cluster.after(0.1)
    cluster.ledger.start(Start(RunId("q"), "n", GPU, "{}"))
    wait_until(lambda: cluster.after(1) or not cluster.ledger.runs)
    assert json.loads(load_state(cluster.store, RunId("q")).root.result or "{}")["code"] == "QueueNotFoundError"


def test_a_queue_that_is_made_while_the_store_is_asked_fails_nobody(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, root = begin(play, QueueLimits("gpu", 1), "x")
    asked, go = threading.Event(), threading.Event()

    def ask_slowly(store: Any) -> Any:
        found = list_queues(store)
        asked.set()
        assert go.wait(30)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(queues, "list_queues", ask_slowly)
        cluster.after(6)
        assert asked.wait(30)
        put_queue(cluster.store, QueueLimits("new"), at_us=1, by="me")
        new = GPU._replace(name="e.new", shape="g@new", queue="new")
        cluster.others.append(new)
        root.say(call("y", new), want=0, waiting=frozenset({"a0"}))
        go.set()
        wait_until(lambda: not cluster.ledger._progress._queues._looks)
    assert cluster.book.state.actions["y"].phase is ActionPhase.QUEUED
    wait_until(lambda: cluster.after(1) or cluster.ledger._progress.admission.knows("new"))
    assert cluster.book.state.actions["y"].phase is ActionPhase.QUEUED


def test_a_rate_bounds_how_many_begin_however_short_they_are(play: Any) -> None:
    cluster, _ = begin(play, QueueLimits("gpu", rate=2.0), *(f"x{number}" for number in range(9)))
    slot = serve(cluster, 1)
    begun = given(slot, want=100)
    for _ in range(20):
        cluster.after(0.1)
        begun += given(slot, *(done(each) for each in begun[-1:]), want=100)
    assert 4 <= len(begun) <= 6


def test_nothing_of_a_queue_with_a_rate_begins_unasked(play: Any) -> None:
    cluster, _ = begin(play, QueueLimits("gpu", rate=2.0), "x")
    assert not cluster.ledger._may_tell("g@gpu", cluster.book)
    assert cluster.ledger._may_tell("s", cluster.book)


def test_a_run_has_a_limit_of_its_own_over_all_its_shapes(play: Any) -> None:
    cluster, root = play(task())
    other = task(name="e.other", shape="o")
    cluster.others += [other, GPU._replace(queue=None, shape="g")]
    cluster.book.terms = cluster.book.terms._replace(most=2)
    root.say()
    calls = [call(f"x{number}", cluster.others[number % 2]) for number in range(4)]
    root.say(*calls, want=0, waiting=frozenset({"a0"}))
    cluster.after(0.1)
    assert len(cluster.launched) == 3
    assert {limit for held in cluster.book.held_back.values() for limit in held.limits} == {"run r"}


def test_two_runs_share_the_places_of_a_queue(play: Any) -> None:
    cluster, _ = begin(play, QueueLimits("gpu", 2), "x", "y", "z", "u")
    slots = [serve(cluster, 1), serve(cluster, 2)]
    assert [given(slot) for slot in slots] == [["x"], ["y"]]
    cluster.ledger.start(Start(RunId("q"), "n", GPU, "{}"))
    cluster.after(2)  # longer than a turn
    assert len(cluster.launched) == 3
    cluster.after(0.2)
    assert given(slots[0], done("x")) == []  # it gives its place to the other run
    slots[0].say(want=1)

    def another_begins() -> bool:
        cluster.after(0.1)
        return len(cluster.launched) > 3

    wait_until(another_begins)  # what it told is stored first
    assert [name.partition("-")[0] for name in cluster.launched[3:]] == ["q"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "a b"}, "A queue's name must be 1 to 63 letters"),
        ({"max_actions": 0}, "max_actions must be a whole number from 1 on, got 0"),
        ({"priority": 1.5}, "priority must be a whole number, got 1.5"),
        ({"rate": 0.0}, "rate must be more than 0 actions per second, got 0.0"),
    ],
)
def test_limits_that_let_nothing_begin_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDeclaration, match=said):
        QueueLimits(**{"name": "gpu", **fields})


def test_rates_are_read_per_second_minute_and_hour() -> None:
    assert [parse_rate(text) for text in ("10/s", "30/m", "36/h", "0.5 / s")] == [10.0, 0.5, 0.01, 0.5]
    for text in ("10", "0/s", "ten/s", "10/d"):
        with pytest.raises(ValueError, match="expected a rate such as 10/s"):
            parse_rate(text)


def test_a_queue_is_on_record_with_who_made_it() -> None:
    store = MemoryStore()
    put_queue(store, QueueLimits("gpu", 8, 10, 0.5), at_us=7, by="me@here")
    assert list_queues(store) == {"gpu": (QueueLimits("gpu", 8, 10, 0.5), {"at_us": 7, "by": "me@here"})}
