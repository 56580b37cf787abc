"""Name the process that wrote something, so that others on its machine can tell for certain that it has ended.

Invariant: what cannot be told for certain (another machine, another container) counts as alive.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_ENDED: Final = "ZX"
"""States of a process that nobody has taken note of yet."""


def own_process() -> str:
    """Name this process: its machine and when it began, so that a later one of the same id is told from it."""
    return name_process(os.getpid())


def name_process(pid: int) -> str:
    """Name a process of this machine as `own_process` does itself."""
    return f"{_machine()}|{_look(pid)[1]}"


def is_near(process: str) -> bool:
    """Tell whether the process that `own_process` named so belongs to this machine."""
    return process.rpartition("|")[0] == _machine()


def has_ended(process: str, pid: int) -> bool:
    """Tell whether the process that `own_process` named so, of this id, has ended for certain."""
    if not is_near(process):
        return False
    if not is_running(pid):
        return True
    began, now = process.rpartition("|")[2], _look(pid)[1]
    return now != began and bool(now and began)


def is_running(pid: int) -> bool:
    """Tell whether this machine has a process of this id which has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's: it is there
    return _look(pid)[0] not in _ENDED


def _machine() -> str:
    try:
        # Containers of one machine share its boot, and often its name, but not the ids of processes.
        return f"{_BOOT.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()  # no Linux


def _look(pid: int) -> tuple[str, str]:
    """Return the state of a process and when it began, in ticks since the boot; `-` and nothing if unknown."""
    try:
        # Its name comes before, in brackets, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "-", ""
    return fields[0], fields[19]
