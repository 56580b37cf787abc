"""A file as a task's input or output."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO, Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import Self

from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.io.located import Located, seen
from flyte_ray.storage.files import fetch_all, open_uri, send_all
from flyte_ray.storage.streams import AsyncFile
from flyte_ray.storage.working import require_working
from flyte_ray.storage.writing import in_mode, is_for_writing, writing_to
from flyte_ray.types.hashing import CONTENT, SEEN, ContentHash, HashMethod, begun

T = TypeVar("T")


class File(Located, Generic[T]):
    """A file on this machine or behind a URL; recorded, a local one lies in the object store.

    Source: `flyte.io.File`.
    """

    _kind: ClassVar[str] = "file"

    hash_method: Annotated[Any, SkipJsonSchema()] = Field(default=None, exclude=True, repr=False)
    """Takes the bytes as they are stored, and gives the hash; ours unless it is given."""

    @classmethod
    def from_local_sync(
        cls,
        local_path: str | os.PathLike[str],
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> Self:
        """Refer to what lies at a local path; it is stored when a task takes or returns it.

        Args:
            local_path: The file.
            remote_destination: A path or URL that it is copied to, at once; the copy is what is referred to.
            hash_method: Gives the hash of the bytes, or is the hash.
            chunk_size: Accepted; large files go in parts in any case.
            max_concurrency: Accepted; parts go side by side in any case.

        Raises:
            FileNotFoundError: There is no such file.
            IsADirectoryError: It is a folder.
            StoreError: The store did not take it.

        """
        text = cls._check_local(local_path)
        known, method = _hash_given(hash_method)
        if known is None and (method is not None or remote_destination is not None):
            known = _hash_file(text, begun(method) if method else ContentHash())
        if remote_destination is None:
            return cls(path=text, hash=known)
        found = cls(path=remote_destination, hash=known)
        send_all({remote_destination: text}, found._options)
        return found

    @classmethod
    async def from_local(
        cls,
        local_path: str | os.PathLike[str],
        remote_destination: str | None = None,
        hash_method: HashMethod | str | None = None,
        chunk_size: int | None = None,
        max_concurrency: int | None = None,
    ) -> Self:
        """Refer to what lies at a local path without blocking the loop, see `from_local_sync`."""
        return await asyncio.to_thread(cls.from_local_sync, local_path, remote_destination, hash_method)

    @classmethod
    def from_existing_remote(cls, remote_path: str, file_cache_key: str | None = None) -> Self:
        """Refer to what lies behind a URL, which stays where it is.

        Args:
            remote_path: Such as `s3://bucket/key`, `https://…` or `file://…`.
            file_cache_key: Stands for the content where values are compared; default: the URL, the size and the ETag,
                as they are when a task takes or returns it.

        Raises:
            ValueError: It is no URL.

        """
        return cls._refer(remote_path, file_cache_key)

    @classmethod
    def new_remote(cls, file_name: str | None = None, hash_method: HashMethod | str | None = None) -> Self:
        """Make a file of the run whose task calls this, to be written with `open("wb")`.

        Args:
            file_name: Its own name.
            hash_method: Gives the hash of the bytes, or is the hash.

        Raises:
            NotInTaskContextError: No task calls this.

        """
        place = require_working(f"{cls.__name__}.new_remote").place
        known, method = _hash_given(hash_method)
        return cls(path=place.fresh(_own_name(file_name or "file")), hash=known, hash_method=method)

    @classmethod
    def named_remote(cls, name: str) -> Self:
        """Make a file of the action that calls this, whose path every attempt gets again.

        What an earlier attempt has written there is there: ask `exists` before you write it again.

        Raises:
            NotInTaskContextError: No task calls this.

        """
        place, action = require_working(f"{cls.__name__}.named_remote")
        return cls(path=place.absolute(f"named/{action}/{_own_name(name)}"))

    @contextmanager
    def open_sync(
        self,
        mode: str = "rb",
        block_size: int | None = None,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Iterator[IO[Any]]:
        """Open it for reading, or for writing: then it appears when the block ends without an error.

        Args:
            mode: `rb`, `r`, `wb` or `w`.
            block_size: Bytes that are asked for at a time.
            cache_type: How reads are buffered, as fsspec names it.
            cache_options: For that.
            compression: Such as `gzip`, or `infer` from the name.
            kwargs: More for the `open` of the fsspec file system.

        Raises:
            UnsupportedError: Another mode, or a recorded file is to be written.
            FileNotFoundError: There is no such file.
            StoreError: It cannot be written.

        """
        if is_for_writing(mode):
            with self._writing(mode, compression) as file:
                yield file
            return
        given: dict[str, Any] = {"compression": compression, **kwargs}
        if "://" in self.path:
            given |= {"block_size": block_size} if block_size else {}
            given |= {"cache_type": cache_type, "cache_options": cache_options or {}}
        with self._reading(self.path, lambda: open_uri(self.path, mode, self._options, **given)) as file:
            yield file

    @asynccontextmanager
    async def open(
        self,
        mode: str = "rb",
        block_size: int | None = None,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AsyncFile]:
        """Open it from async code; what is opened is awaited: `await file.read()`. See `open_sync`."""
        given = block_size, cache_type, cache_options, compression
        async with await AsyncFile.enter(lambda: self.open_sync(mode, *given, **kwargs)) as file:
            yield file

    def download_sync(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy it to this machine; the copy appears when it is whole.

        Args:
            local_path: Where to; a folder that exists, or ends in a slash, takes it under its own name. None makes a
                temporary folder.

        Returns:
            The path of the copy.

        Raises:
            FileNotFoundError: It is not there.

        """
        target = os.fspath(local_path) if local_path is not None else tempfile.mkdtemp(prefix="flyte-ray-")
        if os.path.isdir(target) or target.endswith(os.sep):
            target = os.path.join(target, self.name or "file")
        self._reading(self.path, lambda: fetch_all({self.path: target}, self._options))
        return target

    async def download(self, local_path: str | os.PathLike[str] | None = None) -> str:
        """Copy it to this machine without blocking the loop, see `download_sync`."""
        return await asyncio.to_thread(self.download_sync, local_path)

    @contextmanager
    def _writing(self, mode: str, compression: str | None) -> Iterator[IO[Any]]:
        if self._recorded and self._own() is not None:
            raise UnsupportedError(
                f"{self.path} is recorded, and what is recorded is never changed. Write a File.new_remote()."
            )
        if compression is not None:
            raise UnsupportedError(
                f"A file is written as it is, got compression={compression!r}. Wrap what is opened, with gzip.open."
            )
        hashing = begun(self.hash_method) if self.hash_method else ContentHash()
        here = self._here
        with (
            here.writing(self.path) if here is not None else writing_to(self.path, self._options) as raw,
            in_mode(HashingWriter(raw, hashing), mode) as file,
        ):
            yield file
        if self.hash_method is not None or self.hash is None or self.hash.startswith((CONTENT, SEEN)):
            object.__setattr__(self, "hash", hashing.result())

    def _stamp(self) -> str | None:
        there = self._look_there(f"There is no file {self.path}: it was never written, or has been deleted.")
        if there is None:
            return None
        self._check_kind(there.is_folder, self.path)
        return seen(there.size, there.mark)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what need not have a pickle; a hash that it gave stays."""
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "hash_method": None}}


class HashingWriter(io.BufferedIOBase):
    """Hashes the bytes that it hands on."""

    def __init__(self, file: IO[bytes], method: HashMethod) -> None:
        """Write to a file; to close this leaves it open."""
        self._file, self._method = file, method

    def result(self) -> str:
        """Return the hash of what was written so far."""
        return self._method.result()

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def write(self, data: Any) -> int:
        """Hash and write."""
        view = memoryview(data).cast("B")
        self._method.update(view)
        self._file.write(view)
        return len(view)


def _hash_given(method: HashMethod | str | None) -> tuple[str | None, HashMethod | None]:
    """Tell a hash from what gives one."""
    if method is None or isinstance(method, str):
        return method, None
    if not isinstance(method, HashMethod):
        raise TypeError(
            f"hash_method must be a hash, or have 'update' and 'result', got {type(method).__name__}. Take"
            f" flyte.io.HashFunction.from_fn(...)."
        )
    return None, method


def _hash_file(path: str, method: HashMethod) -> str:
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            method.update(memoryview(block))
    return method.result()


def _own_name(name: str) -> str:
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise InvalidDeclaration(f"A file's own name was expected, without folders, got {name!r}.")
    return name
