"""The record of steps: what is folded, what the next attempt gets, and what comes late or twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.messages import Message, Step, Work
from flyte_ray.ledger.segment import Segment, decode_segment, encode_segment
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.ledger.steps import StepBook, steps_of
from flyte_ray.ledger.wire import dump_message, load_message
from flyte_ray.spec.ids import RunId
from tests.unit.folding import fold_all

CALLED = Event(kinds.CALLED, 1, "a0", task="e.t@1", body="{}")
STARTED = Event(kinds.STARTED, 2, "a0", 0, slot="s")


def traced(body: str, attempt: int = 0, key: str = "k.1") -> Event:
    return Event(kinds.TRACED, 3, "a0", attempt, task=f"fetch@{key}", slot="s", body=body)


def book(state: RunState) -> tuple[StepBook, list[Event]]:
    recorded: list[Event] = []

    def record(kind: str, action: str, attempt: int, **fields: Any) -> None:
        recorded.append(Event(kind, 4, action, attempt, **fields))
        fold(state, recorded[-1])

    return StepBook(state, record), recorded


def test_the_next_attempt_gets_the_steps_of_a_lost_one() -> None:
    state = fold_all(RunId("r"), [CALLED, STARTED, traced("1"), traced("2", key="k.2"), Event(kinds.LOST, 5, "a0")])
    assert steps_of(state.root) == (("k.1", "1"), ("k.2", "2"))


def test_a_resumed_run_gets_the_steps_of_a_failed_action() -> None:
    ends = [Event(kinds.FAILED, 5, "a0", body="{}"), Event(kinds.RESUMED, 6), Event(kinds.RENEWED, 7, "a0")]
    assert steps_of(fold_all(RunId("r"), [CALLED, STARTED, traced("1"), *ends]).root) == (("k.1", "1"),)


def test_an_action_that_has_succeeded_keeps_no_steps() -> None:
    state = fold_all(RunId("r"), [CALLED, STARTED, traced("1"), Event(kinds.SUCCEEDED, 5, "a0", body="1")])
    assert state.root.steps is None
    with pytest.raises(ValueError, match="TRACED is not allowed"):
        fold(state, traced("2"))


def test_of_one_step_the_record_of_the_latest_attempt_counts() -> None:
    state = fold_all(RunId("r"), [CALLED, STARTED, traced("new", attempt=1), traced("late", attempt=0)])
    assert steps_of(state.root) == (("k.1", "new"),)


def test_a_step_that_is_sent_again_is_recorded_once() -> None:
    steps, recorded = book(fold_all(RunId("r"), [CALLED, STARTED]))
    for _ in range(2):
        steps.take("s", Step("a0", 0, "k.1", "fetch", None, "1"))
    assert [(event.task, event.body) for event in recorded] == [("fetch@k.1", "1")]


def test_a_step_that_arrives_before_its_actions_call_waits_for_it() -> None:
    state = RunState(RunId("r"))
    steps, recorded = book(state)
    steps.take("s", Step("a0", 0, "k.1", "fetch", None, "1"))
    assert not recorded
    fold(state, CALLED)
    steps.take_early("a0")
    assert steps_of(state.root) == (("k.1", "1"),)


def test_a_step_of_an_action_that_has_ended_is_dropped() -> None:
    state = fold_all(RunId("r"), [CALLED, STARTED, Event(kinds.FAILED, 5, "a0", body="{}")])
    steps, recorded = book(state)
    steps.take("s", Step("a0", 0, "k.1", "fetch", None, "1"))
    assert not recorded


def test_steps_survive_segments_and_messages() -> None:
    event = traced(json.dumps({"output": "ü"}))
    assert decode_segment(encode_segment(Segment(1, "w", [event])), "here").events == [event]
    step = Step("a0", 0, "k.1", "fetch", "group", "1")
    message = Message("s", "r", "shape", 1, 1, 0, [step], 0, {}, 0)
    assert load_message(dump_message(message)).items == [step]
    assert Work("a0", None, 0, "t", "{}", None, None, replay=False).steps == ()
