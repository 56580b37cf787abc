"""How much a slot is handed: what it holds, no other slot gets."""

from __future__ import annotations

from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.dispatch import Dispatch
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.queue import AHEAD_S, SAMPLES
from flyte_ray.ledger.state import ActionState

REF = TaskRef("e.f", "m", "f", None, "shape", "{}", 0, None, False)
MEAN_S = 0.01


def queue_of(count: int) -> Dispatch:
    """Queue actions of a task that takes `MEAN_S`, as was measured."""
    actions = {f"a{number}": ActionState(f"a{number}", "a0", "e.f", None, "{}", 0) for number in range(count)}
    dispatch = Dispatch(actions, lambda _: REF, lambda: 0)
    for _ in range(SAMPLES):
        dispatch.durations.add("e.f", MEAN_S)
    for action in actions.values():
        dispatch.enqueue(action)
    return dispatch


def test_a_slot_that_asks_ahead_with_each_message_hoards_nothing() -> None:
    dispatch, slot = queue_of(100), Slot("s", "r", "shape")
    for _ in range(20):  # it ends one action between two messages, and each of them asks
        slot.ahead = 2048
        for action in dispatch.choose(slot, 2):
            slot.running[action.id] = 0
        assert 1 < len(slot.running) <= AHEAD_S / MEAN_S + 1
        del slot.running[next(iter(slot.running))]


def test_a_slot_that_has_nothing_to_do_is_handed_a_batch_whatever_waits_in_it() -> None:
    dispatch, slot = queue_of(100), Slot("s", "r", "shape", want=2048)
    slot.running = {f"waits{number}": 0 for number in range(50)}
    assert len(dispatch.choose(slot, 2)) > 1
