"""Keep who in a slot waits for which child, and wake them when it has ended.

Knows nothing of what runs in the slot meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from flyte_ray.ledger import events as kinds
from flyte_ray.runtime.loop import LoopThread

if TYPE_CHECKING:
    from flyte_ray.runtime.execution import Execution


class Pending:
    """A child that somebody waits for."""

    __slots__ = ("body", "deliver", "followers", "future", "id", "kind", "siblings")

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
        self.followers: list[Pending] = []
        """Waits for the same child, each with an id of its own: begun, and perhaps given up, by itself."""


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


class Waits:
    """All that is waited for in one slot; called with the slot's lock held, but for `deliver`."""

    def __init__(self) -> None:
        """Begin without any."""
        self._pendings: dict[str, tuple[Execution, Pending]] = {}
        self._ended: list[Pending] = []
        """Whose child has ended, and who is not woken yet."""

    @property
    def names(self) -> list[str]:
        """Children that have not ended."""
        return list(self._pendings)

    def add(self, execution: Execution, pending: Pending) -> None:
        """Take note of a child that an execution has asked for."""
        self._pendings[pending.id] = execution, pending

    def discard(self, child: str) -> None:
        """Forget a child, if it is known."""
        self._pendings.pop(child, None)

    def forget(self, execution: Execution) -> None:
        """Forget the children of an execution that has ended."""
        for child in execution.open_calls:
            self._pendings.pop(child, None)
        for pending in execution.conditions.values():
            self._pendings.pop(pending.id, None)

    def end(self, child: str, kind: str, body: str) -> Iterator[tuple[Execution, Pending]]:
        """Take note of a child's end; return whose waits are over."""
        found = self._pendings.pop(child, None)
        if found is None:
            return
        execution, pending = found
        for each in (pending, *pending.followers):
            each.kind, each.body = kind, body
            self._ended.append(each)
            yield execution, each
        if pending.siblings is not None:
            pending.siblings.note(pending, succeeded=kind == kinds.SUCCEEDED)

    def deliver(self, changed: threading.Condition, loop_thread: LoopThread) -> None:
        """Wake the threads and coroutines that wait for children which have ended; called without the slot's lock."""
        if not self._ended:
            return
        with changed:
            ended, self._ended = self._ended, []
            changed.notify_all()
        for pending in ended:
            if pending.future is None and pending.deliver:
                pending.deliver()
        loop_thread.wake([pending.future for pending in ended if pending.future is not None])
