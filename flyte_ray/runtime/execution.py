"""One attempt in a slot: what it is, what it waits for, and how long it held the slot."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flyte_ray.ledger.messages import Work
from flyte_ray.runtime.catalog import Known
from flyte_ray.runtime.failures import Aborted


class Pending:
    """A child that somebody waits for."""

    __slots__ = ("body", "deliver", "future", "id", "kind", "siblings")

    def __init__(self, name: str) -> None:
        """Wait for the action `name`."""
        self.id = name
        self.kind = ""
        """Empty until the child has ended, then the kind of event that ended it."""
        self.body = ""
        self.deliver: Callable[[], None] | None = None
        """Wakes a thread that waits."""
        self.future: asyncio.Future[None] | None = None
        """Wakes a coroutine that waits."""
        self.siblings: Siblings | None = None
        """Told of its end."""


class Siblings:
    """Children that somebody takes one after another, until one fails, be it a later one."""

    def __init__(self) -> None:
        """Begin without any."""
        self.failed: Pending | None = None
        """The first that did not succeed."""
        self._awaited: tuple[Pending, Pending] | None = None

    def next_end(self, child: Pending) -> Pending:
        """Return something to wait for, that ends when this child has ended or any of them failed."""
        either = Pending(child.id)
        self._awaited = child, either
        # It may have ended just before: `note` did not see who waits then.
        if child.kind or self.failed is not None:
            either.kind = (self.failed or child).kind
        return either

    def note(self, child: Pending, *, succeeded: bool) -> None:
        """Take note that one has ended."""
        if not succeeded and self.failed is None:
            self.failed = child
        if self._awaited is not None and (not succeeded or self._awaited[0] is child):
            either = self._awaited[1]
            either.kind = either.kind or child.kind
            if either.deliver is not None:
                either.deliver()


@dataclass(eq=False)
class Execution:
    """An attempt that runs in this slot."""

    work: Work
    known: Known
    stopwatch: float = field(default_factory=time.perf_counter)
    held_s: float = 0.0
    """Seconds in which it ran, without those in which it waited for children."""
    open_calls: dict[str, Pending] = field(default_factory=dict)
    """Children that it waits for."""
    calls: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)
    """Identical calls so far in this attempt: what the sequence number of an id counts."""
    recorded: dict[str, str] = field(default_factory=dict)
    """Steps of earlier attempts, by key."""
    steps: Counter[str] = field(default_factory=Counter)
    """Identical steps so far in this attempt."""
    fresh: list[tuple[Known, Any, Pending]] = field(default_factory=list)
    """Async calls of this turn of the loop that are neither asked nor told yet."""
    waiting: bool = False
    """It waits for children and nothing else."""
    in_user_code: bool = False
    """A signal may raise in it now; only the main thread's top execution is ever asked."""
    cancelled: str | None = None
    """Why it was aborted."""
    aio: asyncio.Task[None] | None = None
    counting: threading.Lock = field(default_factory=threading.Lock)
    """Guards `calls` and `steps`: threads of one action may make identical calls at once."""
    printed: list[str] = field(default_factory=list)

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

    def pause(self) -> None:
        """Note that it stops to run."""
        self.waiting = True
        self.held_s += time.perf_counter() - self.stopwatch

    def go_on(self) -> None:
        """Note that it runs again."""
        self.waiting = False
        self.stopwatch = time.perf_counter()

    def seconds(self) -> float:
        """Seconds that it held the slot so far."""
        return self.held_s + (0.0 if self.waiting else time.perf_counter() - self.stopwatch)
