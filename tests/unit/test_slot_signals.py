"""In a slot's stack, what waits for a person is in nobody's way; the test plays the ledger."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.messages import (
    DISPLACED,
    REPLACED,
    Bye,
    Call,
    Cancel,
    Item,
    Message,
    Order,
    Outcome,
    Reply,
    Result,
    Return,
    Work,
)
from flyte_ray.runtime.blobs import blobs_at
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.controller import Controller
from flyte_ray.runtime.local import shape_locally
from flyte_ray.runtime.slot import Slot
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from flyte_ray.types.signing import Pickling
from tests.waiting import within

until = within(30)

env = flyte.TaskEnvironment("stacked")
cleaned: list[str] = []


@env.task
def child(x: int) -> int:
    return x


@env.task
def waits_for_its_child() -> int:
    return child(1) + 1


@env.task
def asks() -> int:
    try:
        return int(flyte.new_condition("how-many", data_type=int).wait())
    finally:
        cleaned.append("asks")


class PlayedLedger:
    """Answers a slot's messages when the test wants to, and keeps what they said."""

    lends = False

    def __init__(self, root: Any) -> None:
        self.open: list[int] = []
        self.items: list[Item] = []
        self.messages: list[Message] = []
        self.orders = 0
        catalog = Catalog(shape_locally, Pickling())
        self.refs = {
            each.key: each
            for each in (catalog.know(task.spec).ref for task in (waits_for_its_child, asks, calls_who_asks))
        }
        controller = Controller(RunId("r"), catalog, blobs_at(root, "data", Pickling()), "local", {"cache": "off"})
        self.slot = Slot("s", "r", "local", self, controller, {})
        controller.slot = self.slot
        self.thread = threading.Thread(target=self.slot.serve, daemon=True)
        self.thread.start()

    def send(self, message: Message) -> None:
        self.items += message.items
        self.messages.append(message)
        self.open.append(message.seq)

    def latest(self) -> object:
        """Never called."""

    def park(self, ticket: object) -> None:
        """Never called either."""

    def order(self, order: Order) -> None:
        """Answer the slot's last message with one order."""
        until(lambda: self.open)
        seq = self.open.pop()
        reply = Reply(1, self.orders, [order], len(self.items), len(self.items), 0, self.refs, False)
        self.orders += 1
        self.slot.hear(reply, seq)

    def work(self, action: str, task: Any) -> None:
        key = next(key for key in self.refs if key.startswith(task.name))
        self.order(Work(action, None, 0, key, "{}", None, None, False))

    def call(self, count: int) -> Call:
        """The call number `count` that the slot has made."""
        until(lambda: len(self.said(Call)) >= count)
        return self.said(Call)[count - 1]

    def said(self, kind: type) -> list[Any]:
        return [item for item in self.items if type(item) is kind]


@pytest.fixture
def ledger(tmp_path: Any) -> Iterator[PlayedLedger]:
    cleaned.clear()
    played = PlayedLedger(open_store(tmp_path))
    yield played
    played.order(Bye("the test is over"))
    played.thread.join(10)


@env.task
def calls_who_asks() -> int:
    return asks()


def results(ledger: PlayedLedger) -> list[tuple[str, str]]:
    return [(item.action, item.kind) for item in ledger.said(Result)]


def test_who_waits_for_a_signal_above_what_could_go_on_begins_again_elsewhere(ledger: PlayedLedger) -> None:
    ledger.work("below", waits_for_its_child)
    needed = ledger.call(1)
    ledger.work("above", asks)
    ledger.call(2)
    assert results(ledger) == []
    ledger.order(Outcome(needed.action, kinds.SUCCEEDED, "1"))
    until(lambda: len(results(ledger)) == 2)
    assert results(ledger) == [("above", DISPLACED), ("below", kinds.SUCCEEDED)]
    assert cleaned == ["asks"]


def test_an_attempt_that_another_has_replaced_does_not_say_that_its_action_was_aborted(ledger: PlayedLedger) -> None:
    ledger.work("replaced", asks)
    ledger.call(1)
    ledger.order(Cancel("replaced", REPLACED))
    until(lambda: results(ledger))
    assert results(ledger) == [("replaced", DISPLACED)]
    assert cleaned == ["asks"]


def test_what_cannot_be_helped_is_left_alone(ledger: PlayedLedger) -> None:
    ledger.work("bottom", waits_for_its_child)
    needed = ledger.call(1)
    ledger.work("middle", calls_who_asks)
    ledger.order(Work(ledger.call(2).action, "middle", 0, ledger.call(2).task, "{}", None, None, False))
    condition = ledger.call(3)
    ledger.order(Outcome(needed.action, kinds.SUCCEEDED, "1"))
    ledger.order(Outcome(condition.action, kinds.SUCCEEDED, '{"value": 7, "by": "anna@host", "at_us": 1}'))
    until(lambda: len(results(ledger)) == 3)
    # The one in the middle needs the one above it, so that the bottom one had to wait for both.
    assert results(ledger) == [(ledger.call(2).action, "SUCCEEDED"), ("middle", "SUCCEEDED"), ("bottom", "SUCCEEDED")]


def test_where_memory_is_bounded_nothing_begins_above_what_waits(ledger: PlayedLedger) -> None:
    ledger.slot.stacks = False
    ledger.work("below", waits_for_its_child)
    needed = ledger.call(1)
    ledger.work("above", asks)
    until(lambda: ledger.said(Return))
    assert [item.action for item in ledger.said(Return)] == ["above"]
    ledger.order(Outcome(needed.action, kinds.SUCCEEDED, "1"))
    until(lambda: results(ledger))
    assert results(ledger) == [("below", kinds.SUCCEEDED)]


def test_who_waits_for_a_signal_stays_while_nothing_beneath_could_go_on(ledger: PlayedLedger) -> None:
    ledger.work("below", waits_for_its_child)
    ledger.call(1)
    ledger.work("above", asks)
    condition = ledger.call(2)
    until(lambda: {"below", "above"} <= ledger.messages[-1].waiting)
    assert ledger.messages[-1].want == 0, "nothing is to be stacked above it"
    ledger.order(Outcome(condition.action, kinds.SUCCEEDED, '{"value": 7, "by": "anna@host", "at_us": 1}'))
    until(lambda: results(ledger))
    assert results(ledger) == [("above", kinds.SUCCEEDED)]
