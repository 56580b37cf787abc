"""Watch how much memory a slot's process and its children use, and fail the attempt that takes too much.

Pages of shared memory (Ray's object store) belong to the node and do not count. Only where there is `/proc`; elsewhere
nothing is watched. The process ends with the attempt: nothing else gives its memory back for sure.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flyte_ray.errors import OOMError
from flyte_ray.ledger.memory import allowance_in, excess
from flyte_ray.ledger.messages import OUT_OF_MEMORY, Result
from flyte_ray.runtime.failures import describe
from flyte_ray.runtime.offspring import family
from flyte_ray.runtime.slot import Slot
from flyte_ray.types.signing import Pickling

SAMPLE_S: Final = 0.1


def used_bytes(process: int, *, exact: bool = False) -> int:
    """Measure the resident memory of a process and all below it.

    Args:
        process: Its id.
        exact: Count pages that several of them share once; slower.

    Returns:
        Bytes without shared memory; a process that has ended meanwhile counts nothing.

    """
    return sum(_resident(each, exact=exact) for each in family(process))


def _resident(process: int, *, exact: bool) -> int:
    rollup = _read(f"/proc/{process}/smaps_rollup") if exact else ""
    text, whole, shared = (rollup, "Pss:", "Pss_Shmem:") if rollup else (_read_status(process), "VmRSS:", "RssShmem:")
    sizes = {words[0]: int(words[1]) * 1024 for words in map(str.split, text.splitlines()) if words[-1:] == ["kB"]}
    return sizes.get(whole, 0) - sizes.get(shared, 0)


def _read_status(process: int) -> str:
    return _read(f"/proc/{process}/status")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # it has ended


class MemoryWatch:
    """Ends this process when an attempt in its slot exceeds its memory."""

    def __init__(self, slot: Slot, end: Callable[[int], None] = os._exit) -> None:
        """Watch a slot; `end` ends the process with an exit status."""
        self._slot, self._end = slot, end
        self._over = threading.Event()

    def start(self) -> None:
        """Watch from now on, until `stop` or as long as the process lives."""
        threading.Thread(target=self._run, name="flyte-ray-memory", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.look()

    def look(self) -> None:
        """Measure once, and act on an excess."""
        active = self._slot.active()
        limits = active[1].limits if active else None
        if active is None or limits is None or not limits.memory_limit:
            return
        work, ref = active
        allowed = allowance_in(self._slot.shape, limits)
        used = used_bytes(os.getpid())
        if used > allowed:
            used = used_bytes(os.getpid(), exact=True)
        if used <= allowed:
            return
        if self._slot.begun > 1:
            self._slot.tell_last()  # earlier actions may have left it: it runs again in a process of its own
        else:
            error = OOMError("OOMError", excess(ref.name, work.action, used, allowed, limits))
            body = describe(error, Pickling())
            self._slot.tell_last(Result(work.action, work.attempt, OUT_OF_MEMORY, body, limits.retry_oom, 0.0, None))
        self._end(1)
