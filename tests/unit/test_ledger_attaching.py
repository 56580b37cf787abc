"""Slots that outlive their ledger hand in what its last moments decided, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from flyte_ray.ledger import dispatch, losses
from flyte_ray.ledger.verdicts import UNSEEN_END
from flyte_ray.spec.phase import ActionPhase
from tests.unit.test_ledger_faults import RUN, SimulatedSlot, World, check


@pytest.fixture
def world() -> Iterator[World]:
    """A ledger and its first slot, which has the root action and has called both of its children."""
    with mock.patch.object(dispatch, "PROBE_US", 0), mock.patch.object(losses, "MAX_DELAY_S", 0.0):
        world = World()
        world.room = 2
        yield world
        for ledger in world.ledgers:
            ledger.close()


def talk(world: World, slot: SimulatedSlot) -> None:
    """Exchange one message, and hear what the ledger has said since the last one."""
    world.deliver(slot.name, slot.message())
    while slot.replies:
        slot.take(slot.replies.pop(0))


def first_slot(world: World) -> SimulatedSlot:
    slot = world.pick(0)
    assert slot is not None
    return slot


def parent_and_other_slot(world: World) -> tuple[SimulatedSlot, SimulatedSlot]:
    """Have the root wait in a slot that takes nothing else, and another slot begin what it has called."""
    parent = first_slot(world)
    talk(world, parent)
    parent.active = "something that takes long"
    talk(world, parent)
    [other] = [slot for slot in world.slots.values() if slot is not parent]
    return parent, other


def die_without_storing(world: World, stored: dict[str, bytes]) -> None:
    """End the ledger, and all that was not stored at a moment before; another one takes over."""
    world.store.objects = dict(stored)
    world.step("restart", 0)


def phases(world: World) -> dict[str, ActionPhase]:
    book = world.ledger.book(RUN)
    assert book is not None
    return {name: action.phase for name, action in book.state.actions.items()}


def finish(world: World) -> None:
    world.drain()
    check(world.store, world.result)


def test_a_parent_that_attaches_first_does_not_abort_what_its_child_had_called_elsewhere(world: World) -> None:
    parent, other = parent_and_other_slot(world)
    talk(world, other)
    talk(world, other)
    world.step("commit", 0)
    stored = dict(world.store.objects)  # the child has called its own, and nothing of how they end is stored
    assert set(other.works) >= {"a0.0", "a0.0.0"}
    while "a0.0" in other.works:
        other.run()
        talk(world, other)
    talk(world, parent)  # hears how its child ended
    parent.active = ""
    assert parent.children["a0"]["a0.0"] == 7
    die_without_storing(world, stored)
    talk(world, parent)
    talk(world, parent)
    assert ActionPhase.ABORTED not in phases(world).values()
    talk(world, other)
    talk(world, other)
    assert [phases(world)[name] for name in ("a0.0", "a0.0.0", "a0.0.1")] == [ActionPhase.SUCCEEDED] * 3
    finish(world)


def test_what_a_parent_was_told_counts_where_the_slot_that_ran_it_is_gone(world: World) -> None:
    parent, other = parent_and_other_slot(world)
    talk(world, other)
    talk(world, other)
    world.step("commit", 0)
    stored = dict(world.store.objects)
    while "a0.0" in other.works:
        other.run()
        talk(world, other)
    talk(world, parent)
    parent.active = ""
    die_without_storing(world, stored)
    talk(world, parent)
    talk(world, parent)
    world.step("kill", sorted(world.slots).index(other.name))
    book = world.ledger.book(RUN)
    assert book is not None and book.state.actions["a0.0"].has_succeeded
    # Nobody is left who knows how they ended.
    for name in ("a0.0.0", "a0.0.1"):
        assert UNSEEN_END in (book.state.actions[name].result or "")
