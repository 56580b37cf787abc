"""End what the process of a slot leaves behind when it is killed: one small process per node, outside of Ray.

A killed slot cannot clean up, and Ray ends at most what that process has started itself, not what came of it. So each
slot says to this process who it is (`guard.py`); it waits for the slot's end and then ends what carries its mark.

Runs as a script, `python -I -S reaper.py ADDRESS RAYLET SLOT SCRIPT FOLDER`: it knows the standard library alone, costs
10 ms and 10 MB, and leaves with the node's Ray, but not before SLOT, which has started it: a process of Ray's may begin
a slot within the second in which it has not noticed that its raylet has ended. SCRIPT, run in the same way, removes
from FOLDER what killed slots kept there (`storage/nearby.py`). Its address in the abstract namespace is also its lock:
one per node.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable
from typing import Final

MARK: Final = "FLYTE_RAY_SLOT"
"""Variable that a slot's process and all that it starts have."""
TERM_S: Final = 1.0
"""How long a process may take to end when it is asked to; then it is killed."""
HELLO_S: Final = 2.0


class Reaper:
    """Waits for the end of slots."""

    def __init__(self, server: socket.socket, serving: Iterable[int], cleaning: list[str]) -> None:
        """Take slots that connect to a listening socket, as long as some processes live, and they.

        Args:
            server: The socket.
            serving: Ids of these processes: the raylet, and who has started this one.
            cleaning: Arguments for Python that have removed what a killed slot kept.

        """
        self._server, self._cleaning = server, cleaning
        self._poll = select.poll()
        self._poll.register(self._server, select.POLLIN)
        self._serving = set()
        for process in serving:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                self._serving.add(os.pidfd_open(process))
        for ending in self._serving:
            self._poll.register(ending, select.POLLIN)
        self._slots: dict[int, tuple[int, str, socket.socket]] = {}
        """Process, mark and connection of a slot, by the descriptors of both."""

    def run(self) -> None:
        """Serve until these processes and all slots have ended."""
        while self._serving or self._slots:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._server.fileno():
                    self._greet()
                elif descriptor in self._serving:
                    self._serving.remove(descriptor)
                    self._poll.unregister(descriptor)
                    os.close(descriptor)
                elif descriptor in self._slots:
                    self._hear(descriptor)

    def _greet(self) -> None:
        connection, _ = self._server.accept()
        process, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user != os.getuid():  # anybody on this machine may connect, and would have our processes ended
            connection.close()
            return
        connection.settimeout(HELLO_S)
        try:
            mark = connection.recv(1024).decode(errors="replace")
            connection.sendall(b"1")
            ending = os.pidfd_open(process)
        except OSError:
            connection.close()
            return
        for descriptor in (ending, connection.fileno()):
            self._slots[descriptor] = process, mark, connection
            self._poll.register(descriptor, select.POLLIN)

    def _hear(self, descriptor: int) -> None:
        process, mark, connection = self._slots[descriptor]
        if descriptor == connection.fileno():
            if not _says_goodbye(connection):  # it is about to end, unasked
                self._poll.unregister(descriptor)
                return
        else:
            sweep(process, mark)
            self._clean()
        for each in [each for each, about in self._slots.items() if about[2] is connection]:
            del self._slots[each]
            with contextlib.suppress(KeyError):
                self._poll.unregister(each)
            if each != connection.fileno():
                os.close(each)
        connection.close()

    def _clean(self) -> None:
        with contextlib.suppress(OSError):  # the next slot that begins here does it then
            command = [sys.executable, "-I", "-S", *self._cleaning]
            os.waitpid(os.posix_spawn(sys.executable, command, os.environ), 0)


def _says_goodbye(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1))
    except OSError:
        return False


def sweep(process: int, mark: str) -> None:
    """End all that has a slot's mark or belongs to the process group of the slot's process, and all below these."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        found = _left_by(process, mark)
        for each in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, number)
        until = time.monotonic() + TERM_S
        while found and number == signal.SIGTERM and time.monotonic() < until:
            time.sleep(0.02)
            found = _left_by(process, mark)


def _left_by(process: int, mark: str) -> list[int]:
    parents, found = {}, set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        # The name before the last bracket may hold anything.
        fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
        if not fields or fields[0] in (b"Z", b"X"):
            continue
        parents[int(name)] = int(fields[1])
        if int(fields[2]) == process or f"{MARK}={mark}\0".encode() in _read(f"/proc/{name}/environ") + b"\0":
            found.add(int(name))
    grown = True
    while grown:
        more = {each for each, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return sorted(found - {os.getpid(), process})


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # it has ended, or is none of ours


def main(address: str, raylet: int, slot: int, *cleaning: str) -> None:
    """Serve at an address as a daemon; returns in the calling process as soon as somebody listens there."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(f"\0{address}")
    except OSError:
        return  # another one was first
    server.listen(128)
    reaper = Reaper(server, (raylet, slot), list(cleaning))
    os.setsid()
    os.chdir("/")
    if os.fork() == 0:
        reaper.run()
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
