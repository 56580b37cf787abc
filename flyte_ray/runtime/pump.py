"""Redact what a process writes to its descriptors, by whatever means: Python, C, and the processes that it starts.

A slot's process that holds secrets has this before the files of Ray's in which everybody may read what workers print.
Invariants: it stays until the process ends, because what is printed late must not pass it by; bytes keep their order.
What is on its way when the process is killed is lost.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios
import threading
import time
from collections.abc import Iterable
from typing import Final

from flyte_ray.runtime.redaction import redact_bytes, redact_cut_bytes, tail_of_bytes

FLUSH_S: Final = 0.2
"""How long the begin of what may be a secret is held back."""
DRAIN_S: Final = 2.0
_TICK_S: Final = 0.005
_pumps: dict[int, Pump] = {}
_changing: Final = threading.Lock()


class Pump:
    """Stands before one descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Begin; the descriptor is a pipe from here on."""
        self._out = os.dup(descriptor)
        self._in, writing = os.pipe()
        os.dup2(writing, descriptor)
        os.close(writing)
        self._is_busy = False
        threading.Thread(target=self._run, name=f"flyte-ray-redact-{descriptor}", daemon=True).start()

    def _run(self) -> None:
        kept = b""
        while True:
            ready, _, _ = select.select([self._in], [], [], FLUSH_S if kept else None)
            self._is_busy = True  # before it is read, see `drain`
            if ready:
                data = os.read(self._in, 1 << 16)
                if not data:
                    return
                kept = redact_bytes(kept + data)
            tail = tail_of_bytes(kept) if ready else 0
            self._write(redact_cut_bytes(kept[: len(kept) - tail]))
            kept = kept[len(kept) - tail :]
            self._is_busy = bool(kept)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._out, data) :]

    def drain(self, until: float) -> None:
        """Wait until what was written has gone through, or until a time by the monotonic clock."""
        waiting = array.array("i", [1])
        while time.monotonic() < until:
            fcntl.ioctl(self._in, termios.FIONREAD, waiting)
            if not waiting[0] and not self._is_busy:
                return
            time.sleep(_TICK_S)


def stand_before(descriptors: Iterable[int]) -> None:
    """Redact what goes to these descriptors from now on."""
    with _changing:
        for each in descriptors:
            if each not in _pumps:
                _pumps[each] = Pump(each)


def drain() -> None:
    """Wait until what was written has gone through."""
    until = time.monotonic() + DRAIN_S
    for pump in list(_pumps.values()):
        pump.drain(until)
