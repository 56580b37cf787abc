"""An aborted action that does not stop costs its slot's process, and nobody else's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.grace import GRACE_S, Grace
from flyte_ray.ledger.losses import ENDED, Loss
from flyte_ray.spec.phase import ActionPhase


class Clock:
    now_us = 0

    def __call__(self) -> int:
        return self.now_us

    def after(self, seconds: float) -> None:
        self.now_us += int(seconds * 1e6)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def grace(clock: Clock) -> Grace:
    return Grace(clock)


def book(slot: Slot, **phases: ActionPhase) -> Any:
    actions = {name: SimpleNamespace(phase=phase) for name, phase in phases.items()}
    return SimpleNamespace(slots={slot.id: slot}, state=SimpleNamespace(actions=actions))


ABORTED, RUNNING = ActionPhase.ABORTED, ActionPhase.RUNNING


def test_a_slot_is_ended_once_when_the_grace_is_over_and_says_why(grace: Grace, clock: Clock) -> None:
    books = [book(Slot("s", "r", "", active="a", running={"a": 0, "b": 0}), a=ABORTED, b=RUNNING)]
    assert grace.overdue(books) == []
    clock.after(GRACE_S + 0.1)
    assert grace.overdue(books) == ["s"]
    assert grace.overdue(books) == []
    ended = Loss("it was ended, because action a went on for 5 s after it was stopped", ENDED)
    assert grace.took("s", Loss("crashed")) == ended
    assert grace.took("s", Loss("crashed")) == Loss("crashed")


def test_an_action_that_stops_in_time_costs_nothing(grace: Grace, clock: Clock) -> None:
    slot = Slot("s", "r", "", active="a", running={"a": 0})
    grace.overdue([book(slot, a=ABORTED)])
    clock.after(GRACE_S - 0.1)
    slot.running.clear()
    assert grace.overdue([book(slot, a=ABORTED)]) == []
    slot.running["a"] = 1
    clock.after(1)
    assert grace.overdue([book(slot, a=ABORTED)]) == []


def test_an_aborted_action_beneath_another_one_ends_nobody(grace: Grace, clock: Clock) -> None:
    told = book(Slot("s", "r", "", active="b", running={"a": 0, "b": 0}), a=ABORTED, b=RUNNING)
    silent = book(Slot("t", "r", "", waiting=frozenset("a"), running={"a": 0, "b": 0}), a=ABORTED, b=RUNNING)
    grace.overdue([told, silent])
    clock.after(GRACE_S + 0.1)
    assert grace.overdue([told, silent]) == []


def test_a_slot_that_could_not_say_what_it_runs_runs_the_first_that_it_got(grace: Grace, clock: Clock) -> None:
    books = [book(Slot("s", "r", "", running={"a": 0, "b": 0}), a=ABORTED, b=RUNNING)]
    grace.overdue(books)
    clock.after(GRACE_S + 0.1)
    assert grace.overdue(books) == ["s"]


def test_the_slots_of_an_ended_run_must_stop_too(grace: Grace, clock: Clock) -> None:
    grace.leave([Slot("busy", "r", "", running={"a": 0}), Slot("idle", "r", "")])
    clock.after(GRACE_S + 0.1)
    assert grace.overdue([]) == ["busy"]
    assert grace.took("busy", Loss("crashed")) == Loss("crashed", ENDED)
    assert grace.overdue([]) == []
