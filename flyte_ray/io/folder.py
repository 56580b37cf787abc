"""A folder as a task's input or output."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import PrivateAttr
from typing_extensions import Self

from flyte_ray.io.file import File
from flyte_ray.io.located import Located, seen
from flyte_ray.storage.files import Found, fetch_all, list_files, look_at, path_below, send_all
from flyte_ray.storage.local import TEMPORARY, files_below, local_path
from flyte_ray.storage.working import require_working
from flyte_ray.types.hashing import CONTENT, folder_hash
from flyte_ray.types.place import OWN_MARK, Blobs
from flyte_ray.types.references import is_by_content

T = TypeVar("T")
EMPTY: Final = "empty://"
"""Path of every folder that holds nothing: object stores have no empty folders."""


class Dir(Located, Generic[T]):
    """A folder on this machine or behind a URL; recorded, the files of a local one lie in the object store.

    Folders in it are kept as far as there are files in them.

    Source: `flyte.io.Dir`.
    """

    _kind: ClassVar[str] = "folder"
    _made: dict[str, File[Any]] = PrivateAttr(default_factory=dict)
    """Files that were made here, by their paths: where there are no others they say what it holds."""

    @classmethod
    def from_local_sync(
        cls,
        local_path: str | os.PathLike[str],
        remote_destination: str | None = None,
        dir_cache_key: str | None = None,
        batch_size: int | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> Self:
        """Refer to what lies at a local path; it is stored when a task takes or returns it.

        Args:
            local_path: The folder.
            remote_destination: A path or URL that its files are copied to, at once; that is what is referred to.
            dir_cache_key: Stands for the content where values are compared; default: the content.
            batch_size: Accepted; files go side by side in any case.
            chunk_size: Accepted; large files go in parts in any case.
            max_concurrency: Accepted, as `batch_size`.

        Raises:
            FileNotFoundError: There is no such folder.
            NotADirectoryError: It is a file.
            StoreError: The store did not take it; some of its files may be there.

        """
        text = cls._check_local(local_path)
        if remote_destination is None:
            return cls(path=text, hash=dir_cache_key)
        top = remote_destination.rstrip("/")
        found = cls(path=top, hash=dir_cache_key)
        send_all(
            {f"{top}/{os.path.relpath(file.uri, text)}": file.uri for file in list_files(text, {})}, found._options
        )
        return found

    @classmethod
    async def from_local(
        cls,
        local_path: str | os.PathLike[str],
        remote_destination: str | None = None,
        dir_cache_key: str | None = None,
        batch_size: int | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> Self:
        """Refer to what lies at a local path without blocking the loop, see `from_local_sync`."""
        return await asyncio.to_thread(cls.from_local_sync, local_path, remote_destination, dir_cache_key)

    @classmethod
    def from_existing_remote(cls, remote_path: str, dir_cache_key: str | None = None) -> Self:
        """Refer to what lies below a URL, which stays where it is.

        Args:
            remote_path: Such as `s3://bucket/prefix`.
            dir_cache_key: Stands for the content where values are compared; default: the URL, and names, sizes and
                ETags of all files, as they are when a task takes or returns it. That lists them.

        Raises:
            ValueError: It is no URL.

        """
        return cls._refer(remote_path.rstrip("/") if isinstance(remote_path, str) else remote_path, dir_cache_key)

    @classmethod
    def new_remote(cls, dir_name: str | None = None, hash: str | None = None) -> Self:
        """Make a folder of the run whose task calls this; `new_file` makes the files in it.

        Args:
            dir_name: Its own name.
            hash: Stands for the content where values are compared.

        Raises:
            NotInTaskContextError: No task calls this.

        """
        return cls(path=require_working(f"{cls.__name__}.new_remote").place.fresh(dir_name or "folder"), hash=hash)

    @classmethod
    def empty(cls) -> Dir[Any]:
        """Return a folder that holds nothing."""
        return EmptyDir(path=EMPTY, name="empty")

    def walk_sync(
        self, recursive: bool = True, file_pattern: str = "*", max_depth: int | None = None
    ) -> Iterator[File[Any]]:
        """Yield the files in it, in the order of their paths.

        Args:
            recursive: Those in folders below it, too.
            file_pattern: Only those whose own names are like this, such as `*.csv`.
            max_depth: How many levels down; 1 for those in the folder itself.

        Raises:
            FileNotFoundError: There is no such folder.

        """
        for found in self._files(max_depth if recursive else 1):
            file: File[Any] = File(path=found.uri, hash=self._hash_of(found))
            if fnmatch.fnmatchcase(file.name or "", file_pattern):
                file._place, file._recorded = self._place, self._recorded
                yield file

    async def walk(self, recursive: bool = True, max_depth: int | None = None) -> AsyncIterator[File[Any]]:
        """Yield the files in it, listed without blocking the loop; see `walk_sync`."""
        for file in await asyncio.to_thread(lambda: list(self.walk_sync(recursive, max_depth=max_depth))):
            yield file

    def list_files_sync(self) -> list[File[Any]]:
        """Return the files in the folder itself."""
        return list(self.walk_sync(recursive=False))

    async def list_files(self) -> list[File[Any]]:
        """Return the files in the folder itself, without blocking the loop."""
        return await asyncio.to_thread(self.list_files_sync)

    def get_file_sync(self, file_name: str) -> File[Any] | None:
        """Return the file at a path below the folder, None if there is none."""
        uri = f"{self.path.rstrip('/')}/{file_name}"
        if self.path == EMPTY:
            return None
        known = self._contents()
        if known is not None:
            found = Found(uri, known[file_name][1], known[file_name][0]) if file_name in known else None
        else:
            found = self._reading(uri, lambda: look_at(uri, self._options))
        if found is None or found.is_folder:
            return None
        file: File[Any] = File(path=uri, hash=self._hash_of(found))
        file._place, file._recorded = self._place, self._recorded
        return file

    async def get_file(self, file_name: str) -> File[Any] | None:
        """Return the file at a path below the folder, without blocking the loop; see `get_file_sync`."""
        return await asyncio.to_thread(self.get_file_sync, file_name)

    def new_file(self, file_name: str) -> File[Any]:
        """Return a file at a path below the folder, to be written with `open("wb")`. Ours, not Flyte's."""
        file: File[Any] = File(path=f"{self.path.rstrip('/')}/{file_name}")
        file._place, file._recorded = self._place, self._recorded
        self._made[file_name] = file
        return file

    def download_sync(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy all its files to this machine, many side by side.

        Args:
            local_path: The folder that takes them; if it does not exist it appears when it is whole. None makes a
                temporary one.

        Returns:
            The path of that folder.

        Raises:
            FileNotFoundError: There is no such folder.

        """
        target = os.fspath(local_path) if local_path is not None else tempfile.mkdtemp(prefix="flyte-ray-")
        found = self._files()
        start = self.path.rstrip("/") + "/"
        names = {file.uri: path_below(start, file.uri) for file in found}
        if os.path.isdir(target):
            self._fetch({uri: os.path.join(target, name) for uri, name in names.items()})
            return target
        beside = os.path.join(os.path.dirname(os.path.abspath(target)), f"{TEMPORARY}{uuid.uuid4().hex}")
        os.makedirs(beside)
        try:
            self._fetch({uri: os.path.join(beside, name) for uri, name in names.items()})
            os.rename(beside, target)
        except BaseException:
            with contextlib.suppress(OSError):
                shutil.rmtree(beside)
            raise
        return target

    async def download(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy all its files to this machine without blocking the loop, see `download_sync`."""
        return await asyncio.to_thread(self.download_sync, local_path)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what was made here; see `Located`."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**state["__pydantic_private__"], "_made": {}}}

    def exists_sync(self) -> bool:
        """Tell whether it is there; object stores have a folder as far as there are files in it."""
        return self.path == EMPTY or super().exists_sync()

    def _fetch(self, files: dict[str, str]) -> None:
        self._reading(self.path, lambda: fetch_all(files, self._options))

    def _files(self, depth: int | None = None) -> list[Found]:
        if self.path == EMPTY:
            return []
        known = self._contents()
        if known is not None:
            near = (name for name in known if depth is None or name.count("/") < depth)
            return [Found(f"{self.path}/{name}", known[name][1], known[name][0]) for name in sorted(near)]
        found = self._reading(self.path, lambda: list_files(self.path, self._options, depth))
        if not found:
            there = self._reading(self.path, lambda: look_at(self.path, self._options))
            if there is None:
                raise FileNotFoundError(f"There is no folder {self.path}: nothing lies below it.")
            self._check_kind(there.is_folder, self.path)
        return found

    def _contents(self) -> Mapping[str, tuple[str, int]] | None:
        """Return what was stored, if it was stored by content and lies in the run's place."""
        own, here = self._own(), self._here
        if not self._recorded or own is None or here is None or not is_by_content(f"{OWN_MARK}{own}"):
            return None
        return here.contents(own)

    def _hash_of(self, found: Found) -> str | None:
        """Say of a file what is known of it by the folder."""
        if found.mark.startswith(CONTENT):
            return found.mark
        return None if local_path(found.uri) == found.uri else seen(found.size, found.mark)

    def _stamp(self) -> str | None:
        if self.path == EMPTY:
            return None
        found = self._look(self._files)
        if found is None:
            return None
        start = self.path.rstrip("/") + "/"
        about = [(file.uri.removeprefix(start), file.size, file.mark) for file in found]
        written = {name: str(file.hash).removeprefix(CONTENT) for name, file in self._made.items() if file.hash}
        if {name for name, _, _ in about} == written.keys():
            return folder_hash(written)
        return seen(len(about), hashlib.sha256(repr(about).encode()).hexdigest()[:32])

    def _store(self, place: Blobs) -> dict[str, str]:
        if os.path.isdir(self.path) and next(files_below(self.path), None) is None:
            return {"path": EMPTY}
        return super()._store(place)


class EmptyDir(Dir[T]):
    """A folder that holds nothing. Source: `flyte.io.EmptyDir`."""
