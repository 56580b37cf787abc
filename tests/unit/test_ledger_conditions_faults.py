"""Whatever is lost, repeated or restarted: a condition ends once, with the first signal that was stored."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_ray.ledger import conditions, dispatch, losses
from flyte_ray.ledger.conditions import condition_ref
from flyte_ray.ledger.messages import Call, Work
from flyte_ray.ledger.signals import decide, signal_entry
from flyte_ray.ledger.wire import dump_message, load_message
from flyte_ray.spec.condition import ConditionSpec
from tests.unit.test_ledger_faults import RUN, STEPS, SimulatedSlot, World, check

REF = condition_ref("how-many", None)
ASKED = ConditionSpec("how-many", "How many?", "text", int, "", None, None).dump()


class AskingSlot(SimulatedSlot):
    """The root of its tree asks a person, and adds the answer."""

    def begin(self, work: Work) -> None:
        super().begin(work)
        if work.parent is None:
            self.children[work.action]["c"] = None
            self.mail.put(Call("c", work.action, REF.key, ASKED, None, None, told=False))

    def go_on(self) -> None:
        for children in self.children.values():
            answer = children.get("c")
            if isinstance(answer, dict):
                children["c"] = answer["value"]
        super().go_on()

    def message(self) -> bytes:
        message = load_message(super().message())
        message.tasks[REF.key] = REF
        return dump_message(message)


class AskingWorld(World):
    """Somebody signals now and then."""

    slot_type = AskingSlot

    def __init__(self) -> None:
        self.signalled: list[int] = []
        super().__init__()

    def step(self, what: str, number: int) -> None:
        if what == "signal":
            entry = signal_entry(number, "anna@host", 1, f"{number} {len(self.signalled)}")
            if decide(self.store, RUN, "c", 0, entry) == entry:
                self.signalled.append(number)
        else:
            super().step(what, number)
        if what == "commit":
            self.ledger.tick()

    def drain(self) -> None:
        self.step("signal", 9)
        super().drain()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS | st.just("signal"), st.integers(0, 5)), max_size=60))
def test_any_loss_ends_with_the_first_signal_that_was_stored(steps: list[tuple[str, int]]) -> None:
    # No time passes between two looks for a signal either.
    with (
        mock.patch.object(dispatch, "PROBE_US", 0),
        mock.patch.object(losses, "MAX_DELAY_S", 0.0),
        mock.patch.object(conditions, "SHORTEST_S", 0.0),
    ):
        world = AskingWorld()
        for what, number in steps:
            if RUN not in world.ledger.runs:
                break
            world.step(what, number)
        world.drain()
        assert len(world.signalled) == 1
        check(world.store, world.result + world.signalled[0], may_lack_ends=world.ends_may_be_lost)
        for ledger in world.ledgers:
            ledger.close()
