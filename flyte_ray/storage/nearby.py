"""Keep copies on this machine's disk of what a run stores elsewhere, for actions on the same machine to map.

A table that one action returns and the next one takes need not be fetched from S3: what was written to be sent is kept
as a file, and so is what was fetched once; every process maps it without a copy, whoever wrote it and whether that one
lives or not. A file and not Ray's object store, in which an object goes with the process that owns it, and holds memory
that nothing else can use; of a file the system drops or writes out what memory it needs.

Invariants: a copy is there only if the store has the object, and is whole; what is lost here is read from the store;
all runs of a user together keep at most `MOST` bytes here and a quarter of the disk; a run's copies go when its last
process on the machine ends. Knows the standard library alone: who cleans up after killed processes runs it as a script.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

MOST: Final = 16 << 30
"""Bytes that are kept at most; the least recently used go first."""
_SHARE: Final = 4
_HOLD: Final = ".held"
_TEMPORARY: Final = ".writing-"


def nearby_folder() -> Path:
    """Return the folder of this user's copies on this machine."""
    return Path(tempfile.gettempdir()) / f"flyte-ray-nearby-{os.getuid()}"


class Nearby:
    """One run's copies; those who have it open keep them."""

    def __init__(self, place: str, top: Path | None = None, most: int = MOST) -> None:
        """Open the copies of what lies below a URI.

        Args:
            place: The URI.
            top: Folder of all copies.
            most: Bytes of them at most.

        Raises:
            OSError: There can be none here.

        """
        self._top, self._most = top or nearby_folder(), most
        self._top.mkdir(mode=0o700, exist_ok=True)
        if self._top.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._top} should belong to the user {os.getuid()}")
        sweep(self._top)
        self._folder = self._top / hashlib.sha256(place.encode()).hexdigest()[:32]
        self._hold = _hold(self._folder)

    def find(self, name: str) -> str | None:
        """Return the path of a copy, None if there is none."""
        path = self._folder / name
        try:
            os.utime(path)  # it is used
        except OSError:
            return None
        return str(path)

    def keep(self, name: str, write: Callable[[IO[bytes]], object], send: Callable[[str], object]) -> None:
        """Write a file, have it sent, and keep it as the copy of an object of this name."""
        with self._appearing(name) as path:
            with path.open("wb") as file:
                write(file)
            send(str(path))

    def fetch(self, name: str, fetch: Callable[[str], object]) -> str | None:
        """Have an object of this name copied to a path, and return that; None if it cannot be, for whatever reason."""
        try:
            with self._appearing(name) as path:
                fetch(str(path))
        except OSError:
            return None
        return self.find(name)

    def close(self) -> None:
        """Let go of the copies: they go with the last process that has them open."""
        os.close(self._hold)
        sweep(self._top)

    @contextlib.contextmanager
    def _appearing(self, name: str) -> Iterator[Path]:
        temporary = self._folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield temporary
            os.replace(temporary, self._folder / name)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._make_room()

    def _make_room(self) -> None:
        found = sorted(_copies(self._top))
        total = sum(size for _, size, _ in found)
        most = min(self._most, (shutil.disk_usage(self._top).free + total) // _SHARE)
        for _, size, path in found:
            if total <= most:
                break
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # who has mapped it goes on to see it
            total -= size


def _copies(top: Path) -> Iterator[tuple[int, int, Path]]:
    for path in top.glob("*/*"):
        with contextlib.suppress(OSError):  # it has just gone
            about = path.stat()
            if not path.name.startswith("."):
                yield about.st_mtime_ns, about.st_size, path


def _hold(folder: Path) -> int:
    """Share the lock of a folder, which is made; returns what holds the lock until it is closed."""
    path = folder / _HOLD
    while True:
        with contextlib.suppress(FileNotFoundError):  # it was swept just now
            folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(handle).st_ino:
                    return handle
            os.close(handle)


def sweep(top: Path) -> None:
    """Remove the copies that no process has open, however those that had have ended."""
    for folder in top.glob("*"):
        with contextlib.suppress(OSError):  # it is in use, or another one sweeps
            handle = os.open(folder / _HOLD, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                gone = top / f"{_TEMPORARY}{uuid.uuid4().hex}"
                os.rename(folder, gone)  # who waits for the lock finds no such folder, and makes another one
                shutil.rmtree(gone, ignore_errors=True)
            finally:
                os.close(handle)


if __name__ == "__main__":
    sweep(Path(sys.argv[1]))
