"""A root that is a folder.

Invariants: an object appears whole or not at all, and stays after a crash of the machine (fsync of file and folder);
where a disk is not mounted the folder that shows in its place is never taken for it, if a witness is named.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Final

from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.storage.local import TEMPORARY
from flyte_ray.storage.providers import Options

_MISSING: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
COPIES_AT_A_TIME: Final = 8


@dataclass(frozen=True)
class DiskStore:
    """A store below the folder `root`, which is made when first written to."""

    root: str
    witness: str | None = None
    """Key of an object without which this is not the root that is meant: a disk that is away leaves an empty folder."""
    options: Options = field(default_factory=dict, repr=False, compare=False)
    """Of no use to a folder, but to files elsewhere that its runs refer to."""

    @property
    def uri(self) -> str:
        """The root as a URL."""
        return f"file://{self.root}"

    def put(self, key: str, data: bytes) -> None:
        """Write through a temporary file and a rename."""
        self.put_written(key, lambda file: file.write(data))

    def put_file(self, key: str, path: str) -> None:
        """Copy through a temporary file and a rename."""
        with open(path, "rb") as source:
            self.put_written(key, partial(shutil.copyfileobj, source))

    def put_written(self, key: str, write: Callable[[IO[bytes]], object]) -> None:
        """Write through a temporary file and a rename."""
        path = self._path(key)
        with self._written(path, write) as temporary:
            os.replace(temporary, path)

    def put_named(self, prefix: str, write: Callable[[IO[bytes]], object], name: Callable[[], str]) -> str:
        """Write a temporary file, and ask for the name while the disk is busy with that."""
        folder = self._path(prefix)
        with ThreadPoolExecutor(1, "flyte-ray-name") as pool:
            asked: list[Future[str]] = []

            def written(file: IO[bytes]) -> None:
                write(file)
                asked.append(pool.submit(name))

            with self._written(folder / "_", written) as temporary:
                found = asked[0].result()
                os.replace(temporary, folder / found)
        return found

    def put_files(self, files: Mapping[str, str]) -> None:
        """Copy some at a time, and make their names last together."""

        def copy(key: str, path: str) -> Path:
            target = self._path(key)
            with (
                open(path, "rb") as source,
                self._written(target, partial(shutil.copyfileobj, source), named_later=True) as temporary,
            ):
                os.replace(temporary, target)
            return target.parent

        with ThreadPoolExecutor(COPIES_AT_A_TIME, "flyte-ray-copy") as pool:
            folders = set(pool.map(copy, files.keys(), files.values()))
        for folder in folders:
            _sync_folder(folder)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write through a temporary file and a hard link, which fails if the name is taken."""
        path = self._path(key)
        with self._written(path, lambda file: file.write(data)) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        return True

    def get(self, key: str) -> bytes:
        """Read a file."""
        path = self._path(key)
        with _told("read", path):
            try:
                return path.read_bytes()
            except _MISSING as error:
                self._look_for_witness()
                raise ObjectMissing(f"{self.uri}/{key}") from error

    def exists(self, key: str) -> bool:
        """Tell whether the file is there."""
        path = self._path(key)
        with _told("read", path):
            if _is_file(path):
                return True
            self._look_for_witness()
            return False

    def keys(self, prefix: str) -> list[str]:
        """Walk the folder."""
        top = self._path(prefix)
        with _told("read", top):
            self._look_for_witness()
            found = (path for path in _walk(top) if not path.name.startswith(TEMPORARY))
            return sorted(path.relative_to(self.root).as_posix() for path in found)

    def delete(self, keys: Sequence[str]) -> None:
        """Unlink the files."""
        for key in keys:
            path = self._path(key)
            with _told("delete", path):
                path.unlink(missing_ok=True)

    def sweep(self, prefix: str, older_s: float) -> None:
        """Remove what processes that were killed have not written to its end, from files of this age on, in seconds."""
        before = time.time() - older_s
        with _told("clean", self._path(prefix)):
            for path in _walk(self._path(prefix)):
                with contextlib.suppress(FileNotFoundError):
                    if path.name.startswith(TEMPORARY) and path.stat().st_mtime < before:
                        path.unlink()

    def _path(self, key: str) -> Path:
        path = Path(self.root, key)
        if ".." in path.parts or os.path.isabs(key):
            raise StoreError(f"A key must stay below its root, got {key!r}.")
        return path

    @contextlib.contextmanager
    def _written(
        self, path: Path, write: Callable[[IO[bytes]], object], *, named_later: bool = False
    ) -> Iterator[Path]:
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            with _told("write", path):
                self._look_for_witness()
                _make_folder(path.parent)
                with temporary.open("wb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary
                if not named_later:
                    _sync_folder(path.parent)
        finally:
            # Where the folder could not be made there is no temporary file either.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _look_for_witness(self) -> None:
        if self.witness is not None and not _is_file(Path(self.root, self.witness)):
            raise StoreError(f"{self.uri} should hold {self.witness}, but does not. Is its disk mounted?")


@contextlib.contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    """Say what failed, and for which file: the system's error may name neither."""
    try:
        yield
    except ObjectMissing:
        raise
    except OSError as error:
        raise StoreError(f"Cannot {what} {path}: {error.strerror or error}.") from error


def _is_file(path: Path) -> bool:
    """Whether a file is there; unlike `Path.is_file` it does not take a disk that fails for one without the file."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except _MISSING:
        return False


def _walk(top: Path) -> Iterator[Path]:
    """Yield all files below a folder; unlike `Path.rglob` it passes over no folder that cannot be read."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, _MISSING):  # removed meanwhile
            raise error

    for folder, _, names in os.walk(top, onerror=refuse):
        yield from (Path(folder, name) for name in names)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, which shall stay after a crash like the files in them."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError:
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
