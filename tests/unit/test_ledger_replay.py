"""Replays as the ledger sees them: what is expected, what is held, and what a restart of the ledger leaves of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyte_ray.ledger import dispatch, losses, replay
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.messages import Call, Outcome, Work
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.snapshot import read_snapshot, write_snapshot
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.wire import load_reply
from flyte_ray.spec.phase import ActionPhase
from tests.unit.folding import fold_all
from tests.unit.test_ledger_faults import RUN, STEPS, TASK, SimulatedSlot, World, disturb

LENGTH = 3


class BranchingSlot(SimulatedSlot):
    """Runs a tree whose actions have two branches, each of which makes `LENGTH` calls one after the other."""

    def begin(self, work: Work) -> None:
        self.works[work.action] = work
        if not json.loads(work.inputs):
            self.active = work.action
            return
        self.children[work.action] = {}
        for branch in "xy":
            self.call(work, f"{branch}0")

    def call(self, work: Work, place: str) -> None:
        name = f"{work.action}.{place}"
        self.children[work.action][name] = None
        depth = json.loads(work.inputs) - 1
        self.mail.put(Call(name, work.action, TASK.key, str(depth), None, None, told=False))

    def succeed(self, name: str, total: int) -> None:
        super().succeed(name, total)
        self.follow()

    def go_on(self) -> None:
        self.follow()
        super().go_on()

    def follow(self) -> None:
        for name, children in self.children.items():
            places = [child.rpartition(".")[2] for child, value in children.items() if value is not None]
            for place in places:
                index = int(place[1:]) + 1
                if index < LENGTH and f"{name}.{place[0]}{index}" not in children:
                    self.call(self.works[name], f"{place[0]}{index}")


class StrictWorld(World):
    """A run under `strict_replay`: its ledger ticks before each step."""

    slot_type: type[SimulatedSlot] = BranchingSlot
    about: ClassVar[dict[str, Any]] = {"strict_replay": True}
    size = 2
    result = sum((2 * LENGTH) ** depth for depth in range(size + 1))

    def step(self, what: str, number: int) -> None:
        self.ledger.tick()
        super().step(what, number)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge whoever rests at once, and think of no time between two steps."""
    monkeypatch.setattr(replay, "ASYNC_REST_S", 0)
    monkeypatch.setattr(dispatch, "PROBE_US", 0)
    monkeypatch.setattr(losses, "MAX_DELAY_S", 0.0)


MORE_STEPS = st.one_of(STEPS, st.sampled_from(["round", "kill", "restart"]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.one_of(STEPS, st.sampled_from(["round", "kill", "restart"])), st.integers(0, 5)), max_size=80)
)
def test_no_loss_makes_a_replay_that_repeats_its_calls_diverge(hasty: None, steps: list[tuple[str, int]]) -> None:
    world = StrictWorld()
    disturb(world, steps)
    assert not replay.warnings(load_state(world.store, RUN))


def child(name: str, called_us: int, **fields: Any) -> ActionState:
    return ActionState(name, "a0", TASK.key, None, "{}", called_us, **fields)


def test_what_may_have_followed_from_an_outcome_that_was_taken_back_is_not_expected() -> None:
    failed = child("failed", 10, revoked_us=20, asked_us=40)
    others = [child(f"at {called_us}", called_us) for called_us in (15, 25, 45)]
    assert [each.id for each in replay.expected_of([failed, *others], 0)] == ["failed", "at 15", "at 45"]


def test_what_other_code_called_is_not_expected() -> None:
    assert [each.id for each in replay.expected_of([child("old", 10), child("new", 30)], 20)] == ["new"]


def test_what_a_slot_brought_back_is_not_expected_because_what_it_followed_from_may_be_missing() -> None:
    assert replay.expected_of([child("brought back", 10, handed_in=True)], 0) == []


class ScriptedSlot(SimulatedSlot):
    """Runs its children at once, and of the root what the test says."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.failures: dict[str, str] = {}

    def begin(self, work: Work) -> None:
        self.works[work.action] = work
        if work.parent:
            self.active = work.action
        else:
            self.children = {work.action: {}}

    def go_on(self) -> None:
        while self.ready and not self.active:
            self.begin(self.ready.pop(0))

    def take(self, data: bytes) -> None:
        for order in load_reply(data).orders:
            if type(order) is Outcome and order.kind == kinds.FAILED:
                self.failures[order.action] = json.loads(order.body)["message"]
        super().take(data)

    def call(self, *names: str) -> None:
        for name in names:
            self.children["a0"][name] = None
            self.mail.put(Call(name, "a0", TASK.key, json.dumps({"name": name}), None, None, told=False))


class ScriptedWorld(StrictWorld):
    """One slot, whose root action has been lost after it had called `x` and `y`, and runs again."""

    slot_type = ScriptedSlot

    def __init__(self) -> None:
        super().__init__()
        self.room = 1
        self.pass_time()
        self.slot.call("x", "y")
        self.pass_time()
        self.step("kill", 0)
        self.pass_time()
        assert self.slot.works["a0"].replay

    @property
    def slot(self) -> ScriptedSlot:
        [slot] = self.slots.values()
        assert isinstance(slot, ScriptedSlot)
        return slot

    def pass_time(self) -> None:
        for _ in range(4):
            self.step("round", 0)
            self.step("commit", 0)
        self.step("round", 0)

    @property
    def on_record(self) -> set[str]:
        book = self.ledger.book(RUN)
        return set(book.state.actions) - {"a0"} if book else set()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedWorld]:
    monkeypatch.setattr(losses, "MAX_DELAY_S", 0.0)
    made = ScriptedWorld()
    yield made
    for ledger in made.ledgers:
        ledger.close()


def test_a_new_call_waits_until_all_that_is_on_record_was_called(world: ScriptedWorld) -> None:
    world.slot.call("new")
    world.pass_time()
    assert world.on_record == {"x", "y"}
    world.slot.call("x")
    world.pass_time()
    assert world.on_record == {"x", "y"}
    world.slot.call("y")
    world.pass_time()
    assert world.on_record == {"x", "y", "new"}
    assert world.slot.children["a0"] == {"new": 1, "x": 1, "y": 1}


def test_a_slot_keeps_a_call_that_is_held_for_the_next_ledger(world: ScriptedWorld) -> None:
    world.slot.call("new", "x")
    world.pass_time()
    assert world.slot.mail.unstored == 2
    world.step("restart", 0)
    world.pass_time()
    assert world.on_record == {"x", "y"}
    world.slot.call("y")
    world.pass_time()
    assert world.slot.children["a0"] == {"new": 1, "x": 1, "y": 1}
    assert world.slot.mail.unstored == 0


def test_what_was_called_before_the_ledger_restarted_counts_as_called(world: ScriptedWorld) -> None:
    world.slot.call("x", "y")
    world.pass_time()
    world.step("restart", 0)
    world.slot.call("new")
    world.pass_time()
    assert world.slot.children["a0"] == {"new": 1, "x": 1, "y": 1}


def test_an_attempt_that_rests_and_lacks_what_is_on_record_fails(hasty: None, world: ScriptedWorld) -> None:
    world.slot.call("new")
    world.pass_time()
    said = world.slot.failures["new"]
    assert 'e.tree (a0) was run again and called e.tree(name="new") where e.tree(name="x") is on record.' in said
    assert world.on_record == {"x", "y"}
    world.slot.succeed("a0", 1)
    world.pass_time()
    root = load_state(world.store, RUN).root
    assert (root.phase, json.loads(root.result or "")["message"]) == (ActionPhase.FAILED, said)


def test_a_ledger_that_restarts_knows_whom_the_last_one_has_judged(hasty: None, world: ScriptedWorld) -> None:
    world.slot.call("new")
    world.pass_time()
    world.step("restart", 0)
    world.pass_time()
    world.slot.call("another")
    world.pass_time()
    assert world.slot.failures["another"] == world.slot.failures["new"]


def test_a_snapshot_keeps_what_was_called_in_place_of_what(hasty: None, world: ScriptedWorld) -> None:
    world.slot.call("new")
    world.pass_time()
    world.slot.succeed("a0", 1)
    world.pass_time()
    folded = fold_all(RUN, (event for _, segment in read_segments(world.store, RUN) for event in segment.events))
    write_snapshot(world.store, folded, 0)
    kept = read_snapshot(world.store, RUN)[0]
    assert kept.actions == folded.actions
    assert [attempt for attempt, _ in kept.root.diverged or ()] == [1]
