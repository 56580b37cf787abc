"""Queue one run's actions per shape, and measure how long each task takes.

Invariants: deeper actions come first (so that a tree's memory is its depth, not its width), equally deep ones in the
order of their calls. Pure: what is handed out, and to whom, is decided by `ledger/dispatch.py`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Final

BATCH_S: Final = 0.02
"""Work that one reply hands out, in seconds of measured time."""
AHEAD_S: Final = 5 * BATCH_S
"""Work that a slot holds at most when it is sent more ahead, in seconds of measured time: no other slot gets that."""
SHORT_S: Final = 0.05
"""Up to this mean a task is short: it may delay a waiting parent in whose slot it runs."""
SLOT_S: Final = 1.0
"""Queued work that is worth another slot, in seconds."""
PROBE_US: Final = 300_000
"""For so long a slot that took work may come back for more, and a new task has time to be measured where there is a
slot, before another slot is started. A process for what turns out to take microseconds costs more than all of it.
In microseconds."""
CALLING_US: Final = 100_000
"""While calls of a new task follow each other so closely, its slot is busy to make them and measures it afterwards."""
CALLING_PROBES: Final = 6
"""It is given so many times as long then."""
SAMPLES: Final = 8
"""Measurements after which a new task is known: its first one may hold imports and whatever else is made once."""


@dataclass(slots=True)
class _Measured:
    times: int = 0
    mean: float = 0.0
    last: float = 0.0
    usual: float = 0.0
    """Mean of each measurement or the one before it, whichever is less."""


@dataclass
class Durations:
    """Mean seconds per task, the recent past weighing more."""

    _measured: dict[str, _Measured] = field(default_factory=dict)

    def add(self, task: str, seconds: float) -> None:
        """Take in one measurement."""
        found = self._measured.get(task)
        if found is None:
            self._measured[task] = _Measured(1, seconds, seconds, seconds)
            return
        found.times += 1
        weight = 1 / found.times if found.times < 10 else 0.1
        found.mean += (seconds - found.mean) * weight
        found.usual += ((seconds if seconds < found.last else found.last) - found.usual) * weight
        found.last = seconds

    def mean(self, task: str) -> float | None:
        """Mean seconds of a task, None while it is unmeasured."""
        found = self._measured.get(task)
        return None if found is None else found.mean

    def usual(self, task: str) -> float | None:
        """The same without what stands alone: one long one among short ones is the machine's doing."""
        found = self._measured.get(task)
        return None if found is None else found.usual

    def is_known(self, task: str) -> bool:
        """Whether a task has been measured often enough to start slots for it."""
        found = self._measured.get(task)
        return found is not None and found.times >= SAMPLES


@dataclass
class ShapeQueue:
    """Actions of one run that wait for a slot of one shape."""

    durations: Durations
    now_us: Callable[[], int]
    _heap: list[tuple[int, int, str, str]] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _first_us: dict[str, int] = field(default_factory=dict)
    """When a task was first queued here."""
    _last_us: dict[str, int] = field(default_factory=dict)
    """When it last was."""
    _pushed: int = 0

    def push(self, action: str, task: str, depth: int) -> None:
        """Queue an action."""
        self._pushed += 1
        self._counts[task] += 1
        now_us = self._last_us[task] = self.now_us()
        self._first_us.setdefault(task, now_us)
        heapq.heappush(self._heap, (-depth, self._pushed, action, task))

    def peek(self) -> tuple[str, str] | None:
        """Return the next (action, task) and leave it."""
        return (self._heap[0][2], self._heap[0][3]) if self._heap else None

    def pop(self) -> None:
        """Remove the next action."""
        self._counts[heapq.heappop(self._heap)[3]] -= 1

    def __len__(self) -> int:
        return len(self._heap)

    def slots_worth(self, probe_us: int | None) -> int:
        """How many slots the queue is worth: one per second of work, one per action of an unmeasured task.

        Args:
            probe_us: How long a new task is worth nothing, because a slot is about to measure it; in microseconds. None
                where there is no slot.

        """
        total = 0.0
        for task, count in self._counts.items():
            if count and not (probe_us is not None and self._is_new(task, probe_us)):
                usual = self.durations.usual(task)
                total += count * (SLOT_S if usual is None else min(usual, SLOT_S))
        # However little there is to do, somebody must do it.
        return min(len(self._heap), max(ceil(total / SLOT_S), 1 if probe_us is None else 0))

    def _is_new(self, task: str, probe_us: int) -> bool:
        if self.durations.is_known(task):
            return False
        now_us = self.now_us()
        is_called = now_us - self._last_us[task] < CALLING_US
        return now_us - self._first_us[task] < probe_us * (CALLING_PROBES if is_called else 1)
