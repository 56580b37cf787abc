"""One attempt in a slot: what it is, what it waits for, how long it held the slot, and who runs its code."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from flyte_ray.ledger.messages import Result, TaskRef, Work
from flyte_ray.runtime.catalog import Known
from flyte_ray.runtime.failures import Aborted
from flyte_ray.runtime.naming import child_id
from flyte_ray.runtime.printed import Printed
from flyte_ray.runtime.waits import Pending


@dataclass(eq=False, slots=True)
class Execution:
    """An attempt that runs in this slot."""

    work: Work
    known: Known
    stopwatch: float = field(default_factory=time.perf_counter)
    held_s: float = 0.0
    """Seconds in which it ran, without those in which it waited for children."""
    open_calls: dict[str, Pending] = field(default_factory=dict)
    """Children that it waits for."""
    calls: dict[tuple[str, str, str | None], int] = field(default_factory=dict)
    """Identical calls so far in this attempt: what the sequence number of an id counts."""
    recorded: dict[str, str] = field(default_factory=dict)
    """Steps of earlier attempts, by key."""
    steps: dict[str, int] = field(default_factory=dict)
    """Identical steps so far in this attempt."""
    fresh: list[tuple[Known, Any, Pending]] = field(default_factory=list)
    """Async calls of this turn of the loop that are neither asked nor told yet."""
    conditions: dict[str, Pending] = field(default_factory=dict)
    """Conditions that it made in this attempt, by name."""
    follows: int = 0
    """Waits for conditions so far."""
    waiting: bool = False
    """It waits for children and nothing else."""
    needs_others: bool = False
    """It has called children that slots of other shapes run, or signals decide."""
    for_signal: bool = False
    """It is sync and waits for a signal: nothing is stacked above it, so that it goes on when that comes."""
    awaited: Pending | None = None
    """What it waits for, if it is sync."""
    displaced: bool = False
    """It has left its slot to those who could go on, and begins again."""
    in_user_code: bool = False
    """A signal may raise in it now; only the main thread's top execution is ever asked."""
    cancelled: str | None = None
    """Why it was aborted."""
    aio: asyncio.Task[None] | None = None
    counting: threading.Lock = field(default_factory=threading.Lock)
    """Guards what is counted, and `conditions`: threads of one action may make identical calls at once."""
    printed: Printed | None = None
    """What it printed; None for nothing."""

    @property
    def id(self) -> str:
        """The action's id."""
        return self.work.action

    @property
    def is_async(self) -> bool:
        """Whether the task is an async function."""
        return self.known.task.interface.is_async

    def check(self) -> None:
        """Have the user's code run from here on, unless it was aborted.

        Raises:
            Aborted: It was.

        """
        # In this order: an abort between the two raises by its signal.
        self.in_user_code = True
        if self.cancelled is not None:
            self.in_user_code = False
            raise Aborted(self.cancelled)

    def pause(self, awaited: Pending | None = None) -> None:
        """Note that it stops to run; a sync one says for what."""
        self.waiting = True
        self.awaited = awaited
        self.held_s += time.perf_counter() - self.stopwatch

    def go_on(self) -> None:
        """Note that it runs again."""
        self.waiting = False
        self.awaited = None
        self.stopwatch = time.perf_counter()

    def last_words(self) -> tuple[int, str] | None:
        """Return what it printed and the ledger does not know: it has ended."""
        if self.printed is None:
            return None
        with self.printed.taking:
            return self.printed.end()

    def seconds(self) -> float:
        """Seconds that it held the slot so far."""
        ran = self.held_s + (0.0 if self.waiting else time.perf_counter() - self.stopwatch)
        return max(ran, 0.0)  # several of its threads may have waited for the store at once


def called_in(executions: Iterable[Execution]) -> tuple[str, ...]:
    """Return the children that replayed attempts have called: a ledger that restarts does not find that on record."""
    found: list[str] = []
    for execution in executions:
        if execution.work.replay:
            with execution.counting:
                counts = list(execution.calls.items())
                found += [pending.id for pending in execution.conditions.values()]
            found += [child_id(execution.id, *key, number + 1) for key, count in counts for number in range(count)]
    return tuple(found)


class Runner(Protocol):
    """Runs the user's code of one execution."""

    def begin(self, work: Work, ref: TaskRef) -> Execution:
        """Find the task."""

    def run(self, execution: Execution) -> Result:
        """Run a sync task; the user's exceptions become a result."""

    async def run_async(self, execution: Execution) -> Result:
        """Run an async task."""

    def failed(self, work: Work, error: BaseException) -> Result:
        """End an attempt for an error that is not the user's."""
