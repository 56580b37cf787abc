"""Keep warm processes for slots: which slot goes to which process of its pool, how many there are, and when they end.

A slot of a pool is a slot like any other, of one run and with its own conversation; only that it lives in a process
which was there before, and stays. Slots wait in their pool as others wait for Ray, and a process that has room takes
the next one.

Invariants: a process serves one slot at a time, or, if actions run beside each other in it, one of each run; a pool
never has more than `most` processes, those that end aside; what differs between runs (code, variables) makes other
shapes, and so other pools.
Pure: who starts and ends processes is `launcher.py`, and the clock comes from outside.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from flyte_ray.cluster.orders import SlotOrder
from flyte_ray.ledger.amounts import amounts
from flyte_ray.ledger.messages import Pool

PROCESS: Final = "pool-"
"""Begins the names of a pool's processes."""


class Answer(NamedTuple):
    """What a process is told that asks for a slot to serve."""

    process: str
    slot: SlotOrder | None
    """None: it shall end."""


@dataclass
class _Process:
    name: str
    since: float
    """Since when it serves no slot, by the clock."""
    slots: dict[str, SlotOrder] = field(default_factory=dict)
    begun: bool = False
    asks: bool = False
    ends: bool = False


@dataclass
class _Pool:
    order: SlotOrder
    """Its first one."""
    policy: Pool
    waiting: deque[SlotOrder] = field(default_factory=deque)
    processes: dict[str, _Process] = field(default_factory=dict)
    retired: bool = False
    """Its run has ended."""

    @property
    def living(self) -> list[_Process]:
        return [each for each in self.processes.values() if not each.ends]

    def lacking(self) -> int:
        """How many more processes it should have."""
        slots = [*self.waiting, *(slot for each in self.living for slot in each.slots.values())]
        if self.policy.concurrency > 1:  # one process serves each run once
            needed = max(Counter(slot.run for slot in slots).values(), default=0)
        else:
            needed = len(slots)
        return min(self.policy.most, max(self.policy.least, needed)) - len(self.living)

    def next_for(self, process: _Process) -> SlotOrder | None:
        """Take what a process should serve next."""
        runs = {slot.run for slot in process.slots.values()}
        most = 1 if self.policy.concurrency == 1 else len(runs) + 1
        found = next((slot for slot in self.waiting if slot.run not in runs), None)
        if found is None or len(process.slots) >= most:
            return None
        self.waiting.remove(found)
        return found


class Pools:
    """All pools of one launcher."""

    def __init__(self, clock: Callable[[], float], name: Callable[[], str]) -> None:
        """Keep none yet; `clock` gives seconds that never go back, `name` a new suffix for a process's name."""
        self._clock, self._name = clock, name
        self._pools: dict[str, _Pool] = {}
        self._of: dict[str, str] = {}
        """Pools of processes."""

    def want(self, order: SlotOrder) -> list[SlotOrder]:
        """Have a slot served; returns the processes to start for it, as if they were slots."""
        assert order.pool is not None
        key = f"{order.shape}@{order.run}" if order.pool.of_run else order.shape
        pool = self._pools.setdefault(key, _Pool(order, order.pool))
        pool.waiting.append(order)
        return self._start(key)

    def _start(self, key: str) -> list[SlotOrder]:
        pool, started = self._pools[key], []
        for _ in range(pool.lacking()):
            process = _Process(PROCESS + self._name(), self._clock())
            pool.processes[process.name] = process
            self._of[process.name] = key
            started.append(pool.order._replace(slot=process.name))
        return started

    def ask(self, process: str) -> None:
        """Take note that a process wants a slot to serve, or another one; it is told by `answers`."""
        found = self._find(process)
        if found is not None:
            found.begun = found.asks = True

    def answers(self) -> list[Answer]:
        """Return what processes that have asked are told now."""
        found: list[Answer] = []
        for pool in self._pools.values():
            # The emptiest first: a run's slots go to different processes, and runs share as little as possible.
            for process in sorted(pool.processes.values(), key=lambda each: len(each.slots)):
                slot = pool.next_for(process) if process.asks and not process.ends else None
                if slot is not None:
                    process.slots[slot.slot] = slot
                if process.asks and (slot is not None or process.ends):
                    process.asks = False
                    found.append(Answer(process.name, slot))
        return found

    def over(self, process: str, slot: str) -> SlotOrder | None:
        """Take note that a slot has ended in a process that goes on; returns its order if it was there."""
        found = self._find(process)
        if found is None:
            return None
        found.since = self._clock()
        return found.slots.pop(slot, None)

    def revoke(self, slot: str) -> bool:
        """Forget a slot that still waits; False if none does."""
        for pool in self._pools.values():
            for order in list(pool.waiting):
                if order.slot == slot:
                    pool.waiting.remove(order)
                    return True
        return False

    def home(self, slot: str) -> str | None:
        """The process that serves a slot."""
        found = (each for pool in self._pools.values() for each in pool.processes.values())
        return next((process.name for process in found if slot in process.slots), None)

    def died(self, process: str) -> tuple[list[SlotOrder], list[SlotOrder]]:
        """Take note that a process has ended.

        Returns:
            The slots that went with it, one that waited for it if it never asked; and the processes to start instead.

        """
        key = self._of.pop(process, "")
        pool = self._pools.get(key)
        if pool is None:
            return [], []
        gone = pool.processes.pop(process)
        lost = list(gone.slots.values())
        if not (gone.begun or gone.ends) and pool.waiting:
            lost.append(pool.waiting.popleft())  # who asked for it decides whether another one is tried
        return lost, self._start(key) if pool.waiting else []

    def abandon(self, process: str) -> list[SlotOrder]:
        """Take note that no process of a pool can ever start; returns the slots that wait for one."""
        pool = self._pools.get(self._of.get(process, ""))
        waiting = list(pool.waiting) if pool else []
        for order in waiting:
            self.revoke(order.slot)
        return waiting

    def tick(self) -> list[str]:
        """End what has had nothing to do for as long as its policy says; returns processes that never asked."""
        now, unbegun = self._clock(), []
        for key, pool in list(self._pools.items()):
            idle = [each for each in pool.living if not each.slots]
            if not pool.waiting and len(idle) == len(pool.living):
                since = max((each.since for each in idle), default=0.0)
                if pool.retired or now - since > pool.policy.idle_s:
                    unbegun += self._end(idle)
            spare = max(0, len(pool.living) - pool.policy.least)
            tired = [each for each in idle if not each.ends and now - each.since > pool.policy.scaledown_s]
            unbegun += self._end(tired[:spare]) if not pool.waiting else []
            if not (pool.waiting or pool.processes):
                del self._pools[key]
        return unbegun

    def retire(self, run: str) -> list[str]:
        """End the pools of a run that has ended; returns processes that never asked."""
        for pool in self._pools.values():
            pool.retired = pool.retired or (pool.policy.of_run and pool.order.run == run)
        return self.tick()

    def spare(self, names: Iterable[str]) -> list[str]:
        """End what serves nothing and holds any of these resources, which others lack; a CPU that idles is lent.

        Returns processes that never asked.
        """
        lacked, unbegun = set(names), []
        for pool in self._pools.values():
            held = amounts(json.loads(pool.order.options)).keys() - {"CPU"}
            if held & lacked and not pool.waiting:
                unbegun += self._end([each for each in pool.living if not each.slots])
        return unbegun

    def _end(self, processes: Iterable[_Process]) -> list[str]:
        unbegun = []
        for process in processes:
            process.ends = True
            if not process.begun:
                unbegun.append(process.name)
        return unbegun

    def _find(self, process: str) -> _Process | None:
        pool = self._pools.get(self._of.get(process, ""))
        return pool.processes.get(process) if pool else None

    def __len__(self) -> int:
        return len(self._pools)
