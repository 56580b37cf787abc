"""Raise in the sync action on top of a slot's stack, and in no other code.

A signal handler runs on the main thread between two of its instructions: whether the top of the stack is the one that
was aborted is tested and acted upon in one step, and a sleeping system call is woken. Ctrl-C takes the same way: as a
`KeyboardInterrupt` it would strike our own code too, with the slot's lock held.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final

from flyte_ray.runtime.execution import Execution
from flyte_ray.runtime.stack import Stack

INTERRUPTED: Final = "interrupted by Ctrl-C"
"""The recorded reason of such an abort."""
SIGNAL_S: Final = 0.5
"""How long a signal may stay unheard by a thread that waits."""
_SIGNAL: Final = getattr(signal, "SIGRTMIN", signal.SIGUSR2) + (5 if hasattr(signal, "SIGRTMIN") else 0)


class Interrupter:
    """Interrupts one slot's main thread, where that is the process's main thread; elsewhere it does nothing."""

    def __init__(self, stack: Stack) -> None:
        """Watch a stack."""
        self._stack = stack
        self._thread: int | None = None
        self._before: object = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(_SIGNAL, self._raise)
            self._thread = threading.get_ident()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread = None
            signal.signal(_SIGNAL, self._before)  # type: ignore[arg-type]

    def interrupt(self, execution: Execution) -> None:
        """Ask the main thread to look whether this execution is on top."""
        if self._thread is not None and execution.in_user_code:
            signal.pthread_kill(self._thread, _SIGNAL)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        top = self._stack.top
        if top is not None and top.in_user_code:
            top.check()


class Termination:
    """While open, SIGTERM ends the process as soon as its slot has said so.

    Ray ends slots so whose node or launcher is gone. Its own handler raises `SystemExit` in whatever code runs, which
    would count as a failure of that action, and reach its parent as such.
    """

    def __init__(self, tell: Callable[[], None], end: Callable[[int], None] = os._exit) -> None:
        """Call `tell` and then `end` with an exit status, on a thread of their own."""
        self._tell, self._end = tell, end
        self._before: object = None
        self._process = os.getpid()

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, self._terminate)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._before)  # type: ignore[arg-type]

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # the user's code has forked: this one is no slot
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        # The main thread may hold any lock at this moment, also one of `threading`.
        _thread.start_new_thread(self._finish, (128 + number,))

    def _finish(self, status: int) -> None:
        try:
            self._tell()
        finally:
            self._end(status)


class CtrlC:
    """While open, the first Ctrl-C is only noted; a second one has its usual effect."""

    pressed: bool = False
    _before: Callable[[int, FrameType | None], object] | None = None

    def __enter__(self) -> CtrlC:
        before = signal.getsignal(signal.SIGINT)
        # A signal that the program ignores, or leaves to the system, is none of our business.
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        # No lock may be taken here: the thread that was interrupted may hold it.
        self.pressed = True
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
