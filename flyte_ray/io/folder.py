"""A folder as a task's input or output."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from flyte_ray.io.file import File
from flyte_ray.io.located import Located
from flyte_ray.storage.files import fetch, list_files

T = TypeVar("T")


class Dir(Located, Generic[T]):
    """A folder on this machine or behind a URL; recorded, the files of a local one lie in the object store.

    Source: `flyte.io.Dir`.
    """

    _kind: ClassVar[str] = "folder"

    def walk_sync(self) -> Iterator[File[Any]]:
        """Yield all files below it, in the order of their paths."""
        for uri in self._files():
            file: File[Any] = File(path=uri)
            file._place = self._place
            yield file

    async def walk(self) -> AsyncIterator[File[Any]]:
        """Yield all files below it, listed without blocking the loop."""
        for file in await asyncio.to_thread(lambda: list(self.walk_sync())):
            yield file

    def download_sync(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy all its files to this machine.

        Args:
            local_path: The folder that takes them, made if missing. None makes a temporary one.

        Returns:
            The path of that folder.

        """
        target = os.fspath(local_path) if local_path is not None else tempfile.mkdtemp(prefix="flyte-ray-")
        os.makedirs(target, exist_ok=True)
        for uri in self._files():
            copy = os.path.join(target, uri.removeprefix(self.path.rstrip("/") + "/"))
            self._reading(uri, partial(fetch, uri, copy, self._options))
        return target

    def _files(self) -> list[str]:
        return self._reading(self.path, lambda: list_files(self.path, self._options))

    async def download(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy all its files to this machine without blocking the loop, see `download_sync`."""
        return await asyncio.to_thread(self.download_sync, local_path)
