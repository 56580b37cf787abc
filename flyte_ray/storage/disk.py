"""A root that is a folder.

Invariants: an object appears whole or not at all, and stays after a crash of the machine (fsync of file and folder).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from flyte_ray.errors import ObjectMissing, StoreError

_TEMPORARY: Final = ".writing-"


@dataclass(frozen=True)
class DiskStore:
    """A store below the folder `root`, which is made when first written to."""

    root: str

    @property
    def uri(self) -> str:
        """The root as a URL."""
        return f"file://{self.root}"

    @property
    def options(self) -> Mapping[str, Any]:
        """A folder needs none."""
        return {}

    def put(self, key: str, data: bytes) -> None:
        """Write through a temporary file and a rename."""
        path = self._path(key)
        with self._written(path, lambda file: file.write(data)) as temporary:
            os.replace(temporary, path)

    def put_file(self, key: str, path: str) -> None:
        """Copy through a temporary file and a rename."""
        target = self._path(key)
        with open(path, "rb") as source, self._written(target, partial(shutil.copyfileobj, source)) as temporary:
            os.replace(temporary, target)

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
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(f"{self.uri}/{key}") from error

    def exists(self, key: str) -> bool:
        """Tell whether the file is there."""
        return self._path(key).is_file()

    def keys(self, prefix: str) -> list[str]:
        """Walk the folder."""
        found = (path for path in self._path(prefix).rglob("*") if path.is_file() and _TEMPORARY not in path.name)
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def delete(self, keys: Sequence[str]) -> None:
        """Unlink the files."""
        for key in keys:
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = Path(self.root, key)
        if ".." in path.parts:
            raise StoreError(f"A key must stay below its root, got {key!r}.")
        return path

    @contextlib.contextmanager
    def _written(self, path: Path, write: Callable[[BinaryIO], object]) -> Iterator[Path]:
        temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreError(f"Cannot write {path}: {error.strerror or error}.") from error
        finally:
            # Where the folder could not be made there is no temporary file either.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
