"""A file as a task's input or output."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO, Any, Generic, TypeVar

from flyte_ray.errors import UnsupportedError
from flyte_ray.io.located import Located
from flyte_ray.storage.files import fetch, open_uri

T = TypeVar("T")


class File(Located, Generic[T]):
    """A file on this machine or behind a URL; recorded, a local one lies in the object store.

    Source: `flyte.io.File`.
    """

    @contextmanager
    def open_sync(self, mode: str = "rb") -> Iterator[IO[Any]]:
        """Open it for reading.

        Raises:
            UnsupportedError: Another mode than `rb`, `r` or `rt`.
            FileNotFoundError: There is no such file.

        """
        if mode not in ("rb", "r", "rt"):
            raise UnsupportedError(
                f"A File is opened with mode 'rb' or 'r', got {mode!r}. Write a local file and return"
                f" File.from_local_sync(path)."
            )
        with self._reading(self.path, lambda: open_uri(self.path, mode, self._options)) as file:
            yield file

    @asynccontextmanager
    async def open(self, mode: str = "rb") -> AsyncIterator[IO[Any]]:
        """Open it for reading from async code; its reads block."""
        with self.open_sync(mode) as file:
            yield file

    def download_sync(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy it to this machine.

        Args:
            local_path: Where to; a folder that exists takes it under its own name. None makes a temporary folder.

        Returns:
            The path of the copy.

        """
        target = os.fspath(local_path) if local_path is not None else tempfile.mkdtemp(prefix="flyte-ray-")
        if os.path.isdir(target):
            target = os.path.join(target, self.name or "file")
        self._reading(self.path, lambda: fetch(self.path, target, self._options))
        return target

    async def download(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy it to this machine without blocking the loop, see `download_sync`."""
        return await asyncio.to_thread(self.download_sync, local_path)
