"""Two runs in the processes of one pool: whatever is lost, repeated or restarted, both end right."""

from __future__ import annotations

from itertools import count
from typing import Final
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_ray.cluster.orders import SlotOrder
from flyte_ray.cluster.pools import Pools
from flyte_ray.ledger import blocks, dispatch, fleet, losses, roll_call, standstill
from flyte_ray.ledger.losses import CRASHED, ENDED, Loss
from flyte_ray.ledger.messages import Pool
from flyte_ray.ledger.places import PROCESS
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.wire import dump_message, load_message
from flyte_ray.spec.ids import RunId
from tests.unit.test_ledger_faults import DEATHS, NETWORK, TASK, Hands, SimulatedSlot, World, check

RUNS: Final = (RunId("r"), RunId("q"))


class PooledSlot(SimulatedSlot):
    """Lives in a process; runs so many actions at a time."""

    def __init__(self, order: SlotOrder, process: str, concurrency: int) -> None:
        super().__init__(order.slot)
        self.of_run, self.process, self.concurrency = RunId(order.run), process, concurrency
        self.task = TASK._replace(pool=order.pool)
        self.beside: list[str] = []
        """What runs besides `active`."""

    def go_on(self) -> None:
        super().go_on()
        while self.active and len(self.beside) + 1 < self.concurrency:
            self.beside.append(self.active)
            self.active = ""
            super().go_on()
        if not self.active and self.beside:
            self.active = self.beside.pop()

    def run(self) -> None:
        super().run()
        while not self.active and self.beside:
            self.active = self.beside.pop()
        assert len(self.beside) < self.concurrency

    def cancel(self, order: object) -> None:
        name = order.action  # type: ignore[attr-defined]
        self.beside = [each for each in self.beside if each != name]
        super().cancel(order)  # type: ignore[arg-type]

    def message(self) -> bytes:
        message = load_message(super().message())
        running = {self.active, *self.beside} - {""}
        if self.concurrency > 1:
            message.want = 2048 if len(running) + len(self.ready) < self.concurrency else 0
            message.waiting = frozenset(self.works) - running if message.want else frozenset()
        message.about = {PROCESS: self.process}
        return dump_message(message)


class PoolHands(Hands):
    world: PoolWorld

    def launch(self, slot: str, run: RunId, shape: str, options: str, pool: object = None, own: bool = False) -> None:
        if self is not self.world.hands or not self.world.has_launcher:
            return
        assert isinstance(pool, Pool)
        order = SlotOrder(slot, run, shape, options, pool, own)
        self.world.orders[slot] = order
        if own:
            self.world.serve(order, slot)
        else:
            self.world.processes |= {each.slot for each in self.world.pools.want(order)}

    def recall(self, slot: str) -> None:
        if self is self.world.hands and self.world.pools.revoke(slot):
            self.world.orders.pop(slot, None)

    def kill(self, slot: str) -> None:
        if self is self.world.hands and slot in self.world.orders:
            self.world.killed.append(slot)

    def scarce(self, options: str) -> frozenset[str]:
        return frozenset()


class PoolWorld(World):
    """Adds processes that ask for slots to serve, and end with all that they serve."""

    policy = Pool("e", 1, 1, 1, 30.0, 30.0, of_run=False)

    def __init__(self, policy: Pool) -> None:
        self.policy = policy
        self.orders: dict[str, SlotOrder] = {}
        self.processes: set[str] = set()
        self.killed: list[str] = []
        self.now = 0.0
        self.fresh()
        super().__init__()

    def fresh(self) -> None:
        names = count(1)
        self.pools = Pools(lambda: self.now, lambda: f"{len(self.processes)}-{next(names)}")

    def begin(self) -> None:
        for run in RUNS:
            self.ledger.start(Start(run, "n", TASK._replace(pool=self.policy), str(self.size)))

    def make_ledger(self) -> Ledger:
        made = super().make_ledger()
        self.hands.__class__ = PoolHands
        return made

    def serve(self, order: SlotOrder, process: str) -> None:
        slot = PooledSlot(order, process, self.policy.concurrency)
        self.slots[order.slot] = slot
        self.owned.add(order.slot)
        if self.policy.concurrency == 1:
            inside = [each for each in self.slots.values() if each.process == process]  # type: ignore[attr-defined]
            assert len([each for each in inside if each.name in self.owned]) == 1

    def turn(self) -> None:
        """Let processes ask, and slots that were told to end leave them."""
        for slot in [each for each in self.slots.values() if each.ended]:
            self.gone(slot, Loss(""))
        while self.killed:
            name = self.killed.pop()
            if name in self.slots and name in self.owned:
                self.end_process(self.slots[name], ENDED)
        if not self.has_launcher:
            return
        for process in self.processes:
            self.pools.ask(process)
        for process, order in self.pools.answers():
            if order is not None:
                self.serve(order, process)
            else:
                self.processes.discard(process)
                self.pools.died(process)

    def gone(self, slot: SimulatedSlot, loss: Loss) -> None:
        del self.slots[slot.name]
        if slot.name in self.owned:
            self.owned.discard(slot.name)
            self.orders.pop(slot.name, None)
            self.pools.over(slot.process, slot.name)  # type: ignore[attr-defined]
            self.ledger.slot_ended(slot.of_run, slot.name, loss)

    def end_process(self, slot: SimulatedSlot, cause: str) -> None:
        process = slot.process  # type: ignore[attr-defined]
        lost, started = self.pools.died(process)
        self.processes.discard(process)
        self.processes |= {each.slot for each in started}
        names = {order.slot for order in lost} | ({slot.name} if process == slot.name else set())
        told = CRASHED if cause == CRASHED and len(names) == 1 else ENDED
        for name in names:
            if name in self.slots:
                self.gone(self.slots[name], Loss("killed", told))

    def step(self, what: str, number: int) -> None:
        slot = self.pick(number)
        self.slots_died = self.slots_died or what in ("kill", "fall")
        if what == "restart":
            self.ledger = self.make_ledger()
            self.open.clear()
            self.newest.clear()
            if not self.has_launcher:
                self.has_launcher = True
                self.fresh()
            for run in RUNS:
                alive = {name: "s" for name, order in self.orders.items() if order.run == run}
                self.ledger.resume(run, alive, by_person=False)
            for each in self.slots.values():
                each.replies.clear()
                each.mail.lost()
        elif what == "tick":
            self.now += number * 10
            for process in self.pools.tick():
                self.processes.discard(process)
                self.pools.died(process)
            self.ledger.tick()
        elif what == "fall":
            super().step(what, number)
            self.orders.clear()
            self.processes.clear()
        elif what == "notice":
            if not self.has_launcher:
                self.fresh()
            super().step(what, number)
        elif what == "kill" and slot is not None and slot.name in self.owned:
            suspect = f"{slot.of_run}/{self.told.get(slot.name, '')}"
            if self.blamed[suspect] < losses.MAX_LOSSES:
                self.blamed[suspect] += 1
                self.end_process(slot, CRASHED)
        else:
            super().step(what, number)
        self.turn()

    def drain(self) -> None:
        self.step("notice", 0)
        for _ in range(600):
            if not self.ledger.runs:
                return
            for slot in list(self.slots.values()):
                slot.run()
                slot.mail.lost()
                self.deliver(slot.name, slot.message())
                while slot.replies:
                    slot.take(slot.replies.pop(0))
            self.step("commit", 0)
            self.step("tick", 0)
        raise AssertionError(f"a run does not end: {[self.ledger.look(run) for run in self.ledger.runs]}")


STEPS = st.sampled_from([*NETWORK, *DEATHS, *["run", "round"] * 3, *["tick"] * 3, "commit", "commit", "pack"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 5)), max_size=80), st.integers(1, 3), st.integers(1, 3))
def test_runs_that_share_processes_end_undisturbed(steps: list[tuple[str, int]], most: int, concurrency: int) -> None:
    disturb(steps, most, concurrency)


ONCE_WRONG: Final = {
    # A slot had run a child of a lost attempt, and was told of its end by the ledger when the next one called it.
    "the child of an attempt before": "restart talk talk speak talk kill kill talk talk restart",
    # Only the slot and the ledger that died knew how the child's own children had ended.
    "an end that nobody knows": "talk talk talk hear" + " talk" * 9 + " commit talk talk fall notice talk restart",
    # An attempt had left its slot; what it had called there was taken for the next attempt's, which nobody ran.
    "calls of a displaced attempt": "talk talk talk speak speak talk hear hear tick tick talk talk round restart tick"
    " talk round round kill2 restart",
    # Two attempts had one number, because the begin of the first was not stored: its end was taken for the other's.
    "a number that was given again": "talk talk talk talk speak talk hear hear tick tick talk talk talk talk talk1"
    " talk1 kill2 round round restart",
}


@pytest.mark.parametrize("schedule", ONCE_WRONG.values(), ids=ONCE_WRONG.keys())
def test_what_once_ended_wrong_ends_undisturbed(schedule: str) -> None:
    words = schedule.split()
    disturb([(word.rstrip("012"), int(word[-1]) if word[-1].isdigit() else 0) for word in words], most=1, concurrency=1)


def disturb(steps: list[tuple[str, int]], most: int, concurrency: int) -> None:
    with (
        mock.patch.object(dispatch, "PROBE_US", 0),
        mock.patch.object(losses, "MAX_DELAY_S", 0.0),
        mock.patch.object(losses, "MAX_LOSSES", 1),
        mock.patch.object(standstill, "OVERFLOW_S", 0.0),
        mock.patch.object(fleet, "LINGER_S", 0.0),
        mock.patch.object(roll_call, "BEGIN_US", 0),
        mock.patch.object(blocks, "BLOCK", 3),
    ):
        world = PoolWorld(Pool("e", 1, most, concurrency, 30.0, 30.0, of_run=False))
        for what, number in steps:
            if world.ledger.runs:
                world.step(what, number)
        world.drain()
        for run in RUNS:
            check(world.store, world.result, run, may_lack_ends=world.ends_may_be_lost)
        for ledger in world.ledgers:
            ledger.close()


def test_a_farewell_ends_a_slot_and_not_its_process() -> None:
    world = PoolWorld(Pool("e", 1, 1, 1, 30.0, 30.0, of_run=False))
    for _ in range(40):
        world.step("round", 0)
        world.step("commit", 0)
        world.step("tick", 0)
        if not world.ledger.runs:
            break
    assert not world.ledger.runs and len(world.processes) == 1
    for ledger in world.ledgers:
        ledger.close()
