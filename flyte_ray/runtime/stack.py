"""Hold the sync actions that stand one above another on a slot's main thread, and bound how high they stand.

Python ends a thread's stack at so many frames, whoever's they are. What stands on a waiting action must not lack those
that it would have alone, and our own code must never meet the end: a `RecursionError` in the middle of its bookkeeping
would lose an attempt.
"""

from __future__ import annotations

import sys
import threading
from typing import Final

from flyte_ray.runtime.execution import Execution

MAX_DEPTH: Final = 64
"""Actions on one stack; Python's own calls in between end in C, whose stack is not measured."""

SLOT_FRAMES: Final = 3000
"""Frames that a slot's process allows: room for as many actions as may stand on each other, and above them for more
than Python allows by default."""
_SHARE: Final = 3
"""One part in so many of a thread's frames may lie below an action."""
_OWN_FRAMES: Final = 100
"""More than our code uses between two calls of the user's."""


class Stack:
    """Attempts that have begun on the main thread: the last one runs or waits, those below wait for it."""

    def __init__(self) -> None:
        """Begin with none, on the thread that `settle` names."""
        self.is_full = False
        """The top waits, for a person or high up: no sync action may begin above it."""
        self._executions: list[Execution] = []
        self._thread = 0

    def settle(self) -> None:
        """Make the calling thread the main thread."""
        self._thread = threading.get_ident()

    def __len__(self) -> int:
        return len(self._executions)

    @property
    def top(self) -> Execution | None:
        """What runs on the main thread, or waits there for its children."""
        return self._executions[-1] if self._executions else None

    def push(self, execution: Execution) -> None:
        """Begin an attempt above the others."""
        self._executions.append(execution)

    def pop(self) -> None:
        """Take away the top, which has ended."""
        self._executions.pop()

    @property
    def is_here(self) -> bool:
        """Whether the caller is the main thread."""
        return threading.get_ident() == self._thread

    def is_top(self, execution: Execution) -> bool:
        """Whether the caller is the main thread and runs this execution."""
        return threading.get_ident() == self._thread and self.top is execution

    @property
    def delays(self) -> bool:
        """Whether the top waits for a signal, and what is next beneath it could go on without it."""
        if len(self._executions) < 2 or not self._executions[-1].for_signal:
            return False
        below = self._executions[-2]
        return below.awaited is not None and (bool(below.awaited.kind) or below.cancelled is not None)

    @property
    def is_deep(self) -> bool:
        """Whether the calling main thread has no room for one more action."""
        return len(self) >= MAX_DEPTH or _reaches(sys.getrecursionlimit() // _SHARE)


class Uninterrupted:
    """While open, our own code runs on behalf of an action; an abort that comes meanwhile is raised at its end."""

    __slots__ = ("_applies", "_execution")

    def __init__(self, stack: Stack, execution: Execution) -> None:
        """Protect a call of an execution's code; only what runs on the main thread is ever interrupted."""
        self._applies, self._execution = stack.is_top(execution), execution

    def __enter__(self) -> None:
        if self._applies:
            self._execution.in_user_code = False

    def __exit__(self, *_: object) -> None:
        if self._applies:
            self._execution.check()


def require_room() -> None:
    """Refuse what our code could not bring to its end on the calling thread's stack.

    Raises:
        RecursionError: Too few frames are left.

    """
    limit = sys.getrecursionlimit()
    if _reaches(limit - _OWN_FRAMES):
        raise RecursionError(
            f"maximum recursion depth exceeded: a call of flyte_ray needs {_OWN_FRAMES} of {limit} frames, got fewer."
            f" Call it less deep in plain functions, or make one of them a task."
        )


def allow_slot_frames() -> None:
    """Let this process's threads grow their stacks as a slot needs it."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), SLOT_FRAMES))


def _reaches(frames: int) -> bool:
    try:
        sys._getframe(frames)
    except ValueError:
        return False
    return True
