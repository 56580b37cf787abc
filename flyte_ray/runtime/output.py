"""Keep what an action prints, besides showing it where it was printed to."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from flyte_ray.runtime.context import current_action

MAX_PIECES: Final = 10_000
"""Pieces of text kept per attempt; beyond, the oldest half goes."""


class _Tee(io.TextIOBase):
    """A stream that notes who wrote; everything else is the stream below."""

    def __init__(self, below: TextIO) -> None:
        self._below = below

    def write(self, text: str) -> int:
        # First, because it refuses what is no text: libraries write empty bytes to find out what a stream takes.
        written = self._below.write(text)
        action = current_action.get()
        if action is not None:
            printed = action.execution.printed
            printed.append(text)
            if len(printed) > MAX_PIECES:
                del printed[: MAX_PIECES // 2]
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


@contextmanager
def capture_output() -> Iterator[None]:
    """Note what actions print to `sys.stdout` and `sys.stderr` while this is open."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Tee(before[0]), _Tee(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
