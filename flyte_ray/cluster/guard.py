"""See to it that no process outlives the slot in which it was started, however the slot ends.

Whatever the user's code starts has the slot's mark in its variables and is in the slot's process group; what loses its
parent becomes a child of the slot. A slot that ends as it was told to ends all below it; for one that is killed, the
node's reaper does (`reaper.py`). Out of reach is only what drops the variables and leaves both parent and group.
Only on Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from flyte_ray.cluster import reaper
from flyte_ray.runtime.offspring import below, end, has_children
from flyte_ray.storage import nearby

_ADOPT: Final = 36
"""`PR_SET_CHILD_SUBREAPER` of Linux's prctl."""
_START_S: Final = 10.0
_log = logging.getLogger("flyte_ray.cluster")


@contextlib.contextmanager
def guarded(slot: str, node: str) -> Iterator[None]:
    """Be a slot's process while this is open; what it has started ends with it.

    Args:
        slot: Its id.
        node: Id of the node, which has one reaper.

    """
    if sys.platform != "linux":
        yield
        return
    mark = f"{slot}@{os.getpid()}"
    with contextlib.suppress(PermissionError):  # it leads a session, and so a group
        os.setpgid(0, 0)
    connection = _connect(f"flyte-ray-reaper-1-{os.getuid()}-{node}", mark)
    os.environ[reaper.MARK] = mark
    _adopt_orphans(True)  # not before: the reaper is none of ours
    try:
        yield
    finally:
        if has_children():
            end(below(os.getpid()))
        _adopt_orphans(False)
        del os.environ[reaper.MARK]
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.sendall(b"0")
            connection.close()


def _adopt_orphans(yes: bool) -> None:
    ctypes.CDLL(None).prctl(_ADOPT, int(yes), 0, 0, 0)


def _connect(address: str, mark: str) -> socket.socket | None:
    """Tell the node's reaper of this process; start it if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_START_S)
    try:
        try:
            connection.connect(f"\0{address}")
        except ConnectionRefusedError:
            _start(address)
            connection.connect(f"\0{address}")
        connection.sendall(mark.encode())
        connection.recv(1)  # from now on it knows
    except (OSError, subprocess.SubprocessError) as error:
        connection.close()
        _log.warning(
            "nobody watches over what this slot starts: %s. If the slot is killed, processes may be left on this node.",
            error,
        )
        return None
    return connection


def _start(address: str) -> None:
    quiet = subprocess.DEVNULL
    raylet = os.environ.get("RAY_RAYLET_PID") or str(os.getppid())  # once it has ended, the parent is another process
    command = [sys.executable, "-I", "-S", reaper.__file__, address, raylet, str(os.getpid())]
    command += [nearby.__file__, str(nearby.nearby_folder())]
    subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_START_S, check=True)
