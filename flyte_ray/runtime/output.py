"""Keep what an action prints, besides showing it where it was printed to.

It is told while the action runs, so that a slot that is killed takes at most its last moment along. An action that
prints nothing costs nothing; one that does is noted, and a thread of this process tells what it has printed since.
"""

from __future__ import annotations

import io
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from flyte_ray.ledger.messages import Log
from flyte_ray.runtime.context import ActionContext, current_action
from flyte_ray.runtime.printed import Printed
from flyte_ray.runtime.redaction import redact

TELL_S: Final = 0.2
"""How long what was printed may wait until it is told."""
_log = logging.getLogger("flyte_ray.runtime")


class _Tee(io.TextIOBase):
    """A stream that notes who wrote; everything else is the stream below."""

    def __init__(self, below: TextIO) -> None:
        self._below = below

    def write(self, text: str) -> int:
        # First, because it refuses what is no text: libraries write empty bytes to find out what a stream takes.
        written = self._below.write(redact(text))
        if written is not None:
            written = len(text)
        action = current_action.get()
        if action is not None and text and _is_told:
            _keep(action, text)
        return written

    def flush(self) -> None:
        self._below.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._below.encoding

    def fileno(self) -> int:
        return self._below.fileno()

    def isatty(self) -> bool:
        return self._below.isatty()


def _keep(action: ActionContext, text: str) -> None:
    execution = action.execution
    printed = execution.printed
    if printed is None:
        with _changing:
            printed = execution.printed = execution.printed or Printed(time.monotonic())
    if printed.is_over:
        return
    # In this order: who takes looks for pieces only after it has cleared the note.
    printed.pieces.append(text)
    if not printed.is_noted:
        printed.is_noted = True
        _noted.put(action)


def _tell(action: ActionContext) -> None:
    printed, work = action.execution.printed, action.execution.work
    assert printed is not None
    printed.is_noted = False
    with printed.taking:  # until it is posted: its attempt's end must not overtake it
        told = printed.take(time.monotonic()) if not printed.is_over else None
        if told is not None:
            action.controller.slot.post(Log(work.action, work.attempt, *told))
    if printed.has_more and not printed.is_noted:
        printed.is_noted = True
        _noted.put(action)


def _keep_telling() -> None:
    while True:
        noted = [_noted.get()]
        time.sleep(TELL_S)
        noted += [_noted.get() for _ in range(_noted.qsize())]
        for action in noted:
            try:
                _tell(action)
            except Exception:
                _log.exception("what action %s printed could not be told", action.action_name)


def _leave_alone() -> None:
    global _is_told  # in a fork nobody takes what is kept
    _is_told = False


_is_told = True
os.register_at_fork(after_in_child=_leave_alone)
_noted: queue.SimpleQueue[ActionContext] = queue.SimpleQueue()
_changing: Final = threading.Lock()
_captures: list[tuple[TextIO, TextIO]] = []
"""The streams as they were, once for each that captures."""
_teller: list[threading.Thread] = []


@contextmanager
def capture_output() -> Iterator[None]:
    """Note what actions print to `sys.stdout` and `sys.stderr` while this is open; runs may overlap in a process."""
    with _changing:
        if not _captures:
            _captures.append((sys.stdout, sys.stderr))
            sys.stdout, sys.stderr = _Tee(sys.stdout), _Tee(sys.stderr)
        else:
            _captures.append(_captures[0])
        if not _teller:
            _teller.append(threading.Thread(target=_keep_telling, name="flyte-ray-output", daemon=True))
            _teller[0].start()
    try:
        yield
    finally:
        with _changing:
            before = _captures.pop()
            if not _captures:
                sys.stdout, sys.stderr = before
