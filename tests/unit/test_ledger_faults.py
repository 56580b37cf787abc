"""Whatever is lost, repeated or restarted: a run ends right, and no stored success is executed again."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from typing import Any, ClassVar
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_ray.ledger import blocks, dispatch, losses
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.losses import Loss
from flyte_ray.ledger.messages import (
    DISPLACED,
    REPLACED,
    Bye,
    Call,
    Cancel,
    Held,
    Message,
    Outcome,
    Reply,
    Result,
    Return,
    Step,
    TaskRef,
    Work,
)
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.verdicts import UNSEEN_END
from flyte_ray.ledger.wire import dump_message, dump_reply, load_message, load_reply
from flyte_ray.runtime.mailbox import Mailbox
from flyte_ray.spec.ids import RunId
from tests.unit.memory_store import MemoryStore

RUN = RunId("r")
TASK = TaskRef("e.tree", "m", "tree", None, "s", "{}", 1, None, True)
SIZE = 3


class SimulatedSlot:
    """Runs a tree: an action of depth n calls two of depth n - 1, and returns how many actions there are with it.

    What calls nobody runs until it is told to end, and half of it fails at first; what waits has others run above it.
    """

    of_run, task = RUN, TASK

    def __init__(self, name: str) -> None:
        self.name, self.mail, self.seq = name, Mailbox(), 0
        self.ready: list[Work] = []
        self.works: dict[str, Work] = {}
        self.children: dict[str, dict[str, int | None]] = {}
        self.active = ""
        self.ended = False
        self.replies: list[bytes] = []

    def take(self, data: bytes) -> None:
        reply: Reply = load_reply(data)
        for order in self.mail.hear(reply):
            if type(order) is Work:
                self.ready.append(order)
            elif type(order) is Outcome:
                for children in self.children.values():
                    if order.action in children and order.kind == kinds.SUCCEEDED:
                        children[order.action] = json.loads(order.body)
            elif type(order) is Cancel:
                self.cancel(order)
            elif type(order) is Bye:
                self.ended = True
        self.go_on()

    def cancel(self, order: Cancel) -> None:
        name = order.action
        for work in [work for work in self.ready if work.action == name]:
            self.ready.remove(work)
            self.mail.put(Return(name, work.attempt))
        stopped = self.works.pop(name, None)
        self.children.pop(name, None)
        self.active = "" if self.active == name else self.active
        if stopped:
            kind = DISPLACED if order.reason == REPLACED else kinds.ABORTED
            self.mail.put(Result(name, stopped.attempt, kind, "{}", False, 0.001, None))

    def run(self) -> None:
        """Run what runs to its end."""
        if self.active:
            self.active, name = "", self.active
            if name.endswith(".1") and not self.works[name].attempt:
                self.mail.put(Result(name, self.works.pop(name).attempt, kinds.FAILED, "{}", True, 0.001, None))
            else:
                self.succeed(name, 1)
            self.go_on()

    def go_on(self) -> None:
        while not self.active:
            full = [name for name, each in self.children.items() if all(value is not None for value in each.values())]
            if full:
                self.succeed(full[0], 1 + sum(value or 0 for value in self.children.pop(full[0]).values()))
            elif self.ready:
                self.begin(self.ready.pop(0))
            else:
                return

    def begin(self, work: Work) -> None:
        depth = json.loads(work.inputs)
        self.works[work.action] = work
        if not work.steps:
            self.mail.put(Step(work.action, work.attempt, "k.1", "step", None, self.name))
        if not depth:
            self.active = work.action
            return
        names = [f"{work.action}.{index}" for index in range(2)]
        self.children[work.action] = dict.fromkeys(names)
        for name in names:
            self.mail.put(Call(name, work.action, self.task.key, str(depth - 1), None, None, told=False))

    def succeed(self, name: str, total: int) -> None:
        self.mail.put(Result(name, self.works.pop(name).attempt, kinds.SUCCEEDED, str(total), False, 0.001, None))
        for children in self.children.values():
            if name in children:
                children[name] = total

    def message(self) -> bytes:
        self.seq += 1
        open_calls = [child for each in self.children.values() for child, value in each.items() if value is None]
        works = [*self.works.values(), *self.ready]
        replayed = [self.children.get(name, {}) for name, work in self.works.items() if work.replay]
        called = [child for children in replayed for child in children]
        held = Held(works, open_calls, self.mail.outcomes(), tuple(called)) if self.mail.attach else None
        first, items = self.mail.take()
        return dump_message(
            Message(
                slot=self.name,
                run=self.of_run,
                shape="s",
                seq=self.seq,
                epoch=self.mail.epoch,
                first=first,
                items=items,
                received=self.mail.received,
                tasks={self.task.key: self.task},
                want=0 if self.active else 2,
                waiting=frozenset() if self.active else frozenset(self.works),
                active=self.active,
                held=held,
                missed=self.mail.missed,
                ahead=2 if self.active and self.ready else 0,
            )
        )


class Hands:
    """What one ledger does to the world, until it dies."""

    def __init__(self, world: World) -> None:
        self.world = world

    def launch(self, slot: str, run: RunId, shape: str, options: str, pool: object = None, own: bool = False) -> None:
        if self is self.world.hands and self.world.has_launcher:
            self.world.slots[slot] = self.world.slot_type(slot)
            self.world.owned.add(slot)

    def kill(self, slot: str) -> None:
        if self is self.world.hands and slot in self.world.owned:
            self.world.owned.discard(slot)
            self.world.slots.pop(slot, None)

    recall = kill

    def retire(self, run: RunId) -> None: ...

    def spare(self, names: frozenset[str]) -> None: ...

    def capacity(self, options: str) -> int:
        return self.world.room

    def scarce(self, options: str) -> frozenset[str]:
        return frozenset()

    def may_grow(self, options: str) -> bool:
        return False


class World:
    """A ledger, its slots and a network that loses, repeats and reorders."""

    slot_type = SimulatedSlot
    about: ClassVar[dict[str, Any]] = {}
    size = SIZE
    result = 2 ** (SIZE + 1) - 1

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.slots: dict[str, SimulatedSlot] = {}
        """All processes that run, those too whose launcher is gone."""
        self.owned: set[str] = set()
        """Slots of the launcher that lives: their deaths are reported."""
        self.has_launcher = True
        """False from its death until the ledger takes note and makes another one."""
        self.flying: list[tuple[str, bytes]] = []
        self.blamed: Counter[str] = Counter()
        """How often a slot was killed that had said to run an action."""
        self.room = 3
        self.slots_died = False
        self.ledgers: list[Ledger] = []
        self.open: dict[str, set[int]] = {}
        """Messages delivered and not answered, by slot."""
        self.told: dict[str, str] = {}
        """What each slot last said to run."""
        self.newest: Counter[str] = Counter()
        self.ledger = self.make_ledger()
        self.begin()

    @property
    def ends_may_be_lost(self) -> bool:
        """Whether a slot and a ledger died: what only these two knew of an action nobody can tell."""
        return self.slots_died and len(self.ledgers) > 1

    def begin(self) -> None:
        self.ledger.start(Start(RUN, "n", TASK, str(self.size), about=self.about))

    def make_ledger(self) -> Ledger:
        self.hands = Hands(self)
        self.ledgers.append(Ledger(self.store, self.hands, "holder"))
        return self.ledgers[-1]

    def pick(self, number: int) -> SimulatedSlot | None:
        names = sorted(self.slots)
        return self.slots[names[number % len(names)]] if names else None

    def deliver(self, name: str, data: bytes) -> None:
        ledger, slot, message = self.ledger, self.slots.get(name), load_message(data)
        waiting = self.open.setdefault(name, set())

        def answer(reply: Reply) -> None:
            waiting.discard(message.seq)
            if slot is not None and ledger is self.ledger:
                slot.replies.append(dump_reply(reply))

        waiting.add(message.seq)
        if message.seq > self.newest[name]:
            self.newest[name], self.told[name] = message.seq, message.active
        ledger.exchange(message, answer)
        # A slot hears replies in the order of its messages: one that stays away keeps all later ones from it.
        assert slot is None or waiting <= {self.newest[name]}

    def step(self, what: str, number: int) -> None:
        slot = self.pick(number)
        self.slots_died = self.slots_died or what in ("kill", "fall")
        if what == "restart":
            # What is not stored dies with the ledger: its threads may go on, the next epoch fences them.
            self.ledger = self.make_ledger()
            self.open.clear()
            self.newest.clear()
            self.has_launcher = True  # a ledger that finds none makes one
            self.ledger.resume(RUN, dict.fromkeys(self.owned, "s"), by_person=False)
            for each in self.slots.values():
                each.replies.clear()
                each.mail.lost()
        elif what == "pack":
            for ledger in self.ledgers:  # those too that were replaced and do not know it
                for book in filter(None, map(ledger.book, ledger.runs)):
                    while book.recorder.pack():
                        pass
        elif what == "commit":
            for book in filter(None, map(self.ledger.book, self.ledger.runs)):
                book.recorder.commit()
        elif what == "fall":
            self.has_launcher = False
            self.owned.clear()
        elif what == "notice":
            if not self.has_launcher:
                self.has_launcher = True
                self.ledger.launcher_ended()
        elif what == "round":
            for each in list(self.slots.values()):
                each.run()
                self.deliver(each.name, each.message())
                while each.replies:
                    each.take(each.replies.pop(0))
        elif slot is None:
            return
        elif what == "speak":
            self.deliver(slot.name, slot.message())
        elif what == "talk":
            for _ in range(3):
                slot.run()
                self.deliver(slot.name, slot.message())
                while slot.replies:
                    slot.take(slot.replies.pop(0))
        elif what == "lose":
            slot.message()
            slot.mail.lost()
        elif what == "late":
            self.flying.append((slot.name, slot.message()))
        elif what == "repeat":
            data = slot.message()
            self.deliver(slot.name, data)
            self.deliver(slot.name, data)
        elif what == "kill":
            suspect = self.told.get(slot.name, "")
            if slot.name not in self.owned:
                del self.slots[slot.name]
            elif self.blamed[suspect] < losses.MAX_LOSSES:  # the next one would rightly fail it
                self.blamed[suspect] += bool(suspect)
                del self.slots[slot.name]
                self.owned.discard(slot.name)
                self.ledger.slot_ended(RUN, slot.name, Loss("killed"))
        elif what == "run":
            slot.run()
        elif what == "hear" and slot.replies:
            slot.take(slot.replies.pop(number % len(slot.replies)))
        elif what == "land" and self.flying:
            self.deliver(*self.flying.pop(number % len(self.flying)))

    def drain(self) -> None:
        # An action that has lost a slot wants one where nothing waits; where all are full, `Standstill` finds one.
        self.room = 16
        self.step("notice", 0)
        for _ in range(400):
            if RUN not in self.ledger.runs:
                return
            for slot in list(self.slots.values()):
                slot.run()
                slot.mail.lost()
                self.deliver(slot.name, slot.message())
                while slot.replies:
                    slot.take(slot.replies.pop(0))
                if slot.ended:
                    self.slots.pop(slot.name, None)
            self.step("commit", 0)
        raise AssertionError(f"the run does not end: {self.ledger.look(RUN)}")


NETWORK = ["talk"] * 6 + ["speak", "hear"] * 4 + ["lose", "late", "land", "repeat"]
DEATHS = ["kill", "kill", "restart", "fall", "notice"]
STEPS = st.sampled_from([*NETWORK, *DEATHS, *["run", "round"] * 3, "commit", "commit", "pack"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 5)), max_size=60))
def test_any_loss_ends_in_the_undisturbed_result(steps: list[tuple[str, int]]) -> None:
    # No time passes between the steps, and who is blamed wrongly a second time fails.
    with (
        mock.patch.object(dispatch, "PROBE_US", 0),
        mock.patch.object(losses, "MAX_DELAY_S", 0.0),
        mock.patch.object(losses, "MAX_LOSSES", 1),
        mock.patch.object(blocks, "BLOCK", 3),
    ):
        disturb(World(), steps)


def disturb(world: World, steps: list[tuple[str, int]]) -> None:
    for what, number in steps:
        if RUN not in world.ledger.runs:
            break
        world.step(what, number)
    world.drain()
    check(world.store, world.result, may_lack_ends=world.ends_may_be_lost)
    for ledger in world.ledgers:
        ledger.close()  # those that died too: their threads would outlive the test


def test_an_attempt_whose_begin_died_with_the_ledger_counts_as_what_it_was() -> None:
    world = World()
    world.room = 1
    for _ in range(12):
        world.step("round", 0)
        slot = world.pick(0)
        assert slot is not None
        if (work := slot.works.get("a0.0.0.1")) and work.attempt == 0:
            break
    world.step("commit", 0)
    world.step("round", 0)  # it fails, and is handed out again
    world.step("round", 0)  # it succeeds, and its parent has heard of that; nothing of it is stored
    world.step("restart", 0)
    disturb(world, [])


def test_a_slot_that_ran_a_child_before_its_parent_hears_of_its_success() -> None:
    world = World()
    world.step("round", 0)
    slot = world.pick(0)
    assert slot is not None and set(slot.works) == {"a0"}
    # The ledger that handed it out has lost its call; another ledger has given the parent to the same slot since.
    slot.mail.put(Result("a0.2", 0, kinds.SUCCEEDED, "1", False, 0.001, None))
    slot.children["a0"]["a0.2"] = None
    slot.mail.put(Call("a0.2", "a0", TASK.key, "0", None, None, told=False))
    world.step("round", 0)
    assert slot.children["a0"]["a0.2"] == 1
    world.ledger.close()


def test_what_answers_one_call_alone_is_not_handed_in_to_the_next_ledger() -> None:
    mail = Mailbox()
    told, answered = (Outcome(name, kinds.ABORTED, "{}", on_record=name == "told") for name in ("told", "answered"))
    mail.hear(Reply(1, 0, [told, answered], 0, 0, 0, {}, may_tell=False))
    assert mail.outcomes() == [told]


def check(store: Any, expected: int, run: RunId = RUN, *, may_lack_ends: bool = False) -> None:
    succeeded: Counter[str] = Counter()
    result = None
    begun_with_step: set[tuple[str, int]] = set()
    traced: set[str] = set()
    for _, segment in read_segments(store, run):
        for event in segment.events:
            if event.kind == kinds.STARTED and event.action in traced:
                begun_with_step.add((event.action, event.attempt))
            if event.kind == kinds.TRACED:
                traced.add(event.action)
                again = (event.action, event.attempt) in begun_with_step
                assert not again, f"{event.action} was given its stored step and executed it again"
            if event.kind == kinds.STARTED:
                assert not succeeded[event.action], f"{event.action} was stored as succeeded and started again"
            if not (may_lack_ends and UNSEEN_END in (event.body or "")):
                assert event.kind not in (kinds.ABORTED, kinds.FAILED), f"{event.action}: {event}"
            if event.kind == kinds.SUCCEEDED:
                succeeded[event.action] += 1
                result = event.body if event.action == "a0" else result
    assert result == str(expected)
    assert set(succeeded.values()) == {1}
    assert pickle.loads(pickle.dumps(succeeded)) == succeeded
