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
SHORT_S: Final = 0.05
"""Up to this mean a task is short: it may delay a waiting parent in whose slot it runs."""
SLOT_S: Final = 1.0
"""Queued work that is worth another slot, in seconds."""
PROBE_US: Final = 300_000
"""For so long a slot that took work may come back for more, and a new task has time to be measured where there is a
slot, before another slot is started. A process for what turns out to take microseconds costs more than all of it.
In microseconds."""
SAMPLES: Final = 8
"""Measurements after which a new task is known: its first one may hold imports and whatever else is made once."""


@dataclass
class Durations:
    """Mean seconds per task, the recent past weighing more."""

    _means: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, task: str, seconds: float) -> None:
        """Take in one measurement."""
        count, mean = self._means.get(task, (0, 0.0))
        count += 1
        self._means[task] = count, mean + (seconds - mean) * max(0.1, 1 / count)

    def mean(self, task: str) -> float | None:
        """Mean seconds of a task, None while it is unmeasured."""
        found = self._means.get(task)
        return None if found is None else found[1]

    def is_known(self, task: str) -> bool:
        """Whether a task has been measured often enough to start slots for it."""
        return self._means.get(task, (0, 0.0))[0] >= SAMPLES


@dataclass
class ShapeQueue:
    """Actions of one run that wait for a slot of one shape."""

    durations: Durations
    now_us: Callable[[], int]
    _heap: list[tuple[int, int, str, str]] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _first_us: dict[str, int] = field(default_factory=dict)
    """When a task was first queued here."""
    _pushed: int = 0

    def push(self, action: str, task: str, depth: int) -> None:
        """Queue an action."""
        self._pushed += 1
        self._counts[task] += 1
        if task not in self._first_us:
            self._first_us[task] = self.now_us()
        heapq.heappush(self._heap, (-depth, self._pushed, action, task))

    def peek(self) -> tuple[str, str] | None:
        """Return the next (action, task) and leave it."""
        return (self._heap[0][2], self._heap[0][3]) if self._heap else None

    def pop(self) -> None:
        """Remove the next action."""
        self._counts[heapq.heappop(self._heap)[3]] -= 1

    def __len__(self) -> int:
        return len(self._heap)

    def slots_worth(self, young_us: int | None) -> int:
        """How many slots the queue is worth: one per second of work, one per action of an unmeasured task.

        Args:
            young_us: Tasks that were first queued after this time are worth nothing until they are known. Microseconds
                since the epoch; None if there is no slot that could measure them.

        """
        total = 0.0
        for task, count in self._counts.items():
            if young_us is None or self._first_us[task] <= young_us or self.durations.is_known(task):
                mean = self.durations.mean(task)
                total += count * (SLOT_S if mean is None else min(mean, SLOT_S))
        # However little there is to do, somebody must do it.
        return min(len(self._heap), max(ceil(total / SLOT_S), 1 if young_us is None else 0))
