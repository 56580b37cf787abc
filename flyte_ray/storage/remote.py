"""A root behind fsspec: S3 through s3fs, and what else fsspec offers.

Invariant: the file system is that of the process that asks, so nothing of it crosses a fork or a pickle.
"""

from __future__ import annotations

import errno
import mimetypes
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar, cast

from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.storage.filesystems import locate
from flyte_ray.storage.providers import Options, protocol_of
from flyte_ray.storage.s3 import read_object, send_files
from flyte_ray.storage.trouble import is_missing_bucket, told

T = TypeVar("T")


@dataclass(frozen=True)
class RemoteStore:
    """A store below an fsspec URL."""

    uri: str
    """Without a slash at its end."""
    options: Options = field(repr=False, compare=False)
    """As given, without our defaults."""

    def put(self, key: str, data: bytes) -> None:
        """Write with one call, which S3 makes atomic."""
        kind = mimetypes.guess_type(key)[0] if self._is_s3 else None
        about = {"ContentType": kind} if kind else {}
        self._ask("write", key, lambda fs, path: fs.pipe_file(path, data, **about))

    def put_file(self, key: str, path: str) -> None:
        """Write in parts, of which a reader sees none before the last."""
        self.put_files({key: path})

    def put_files(self, files: Mapping[str, str]) -> None:
        """Write many side by side."""
        for path in files.values():
            with open(path, "rb"):  # what is missing here is no matter of the store
                pass

        def send(fs: Any, _: str) -> None:
            there = {f"{self._base}/{key}": path for key, path in files.items()}
            if self._is_s3:
                send_files(fs, there)
            else:
                fs.put(list(there.values()), list(there))

        self._ask("write", next(iter(files), ""), send)

    def put_written(self, key: str, write: Callable[[IO[bytes]], object]) -> None:
        """Write to a temporary file first: what fails half-way is never seen."""
        with tempfile.NamedTemporaryFile(prefix="flyte-ray-") as file:
            write(cast("IO[bytes]", file))
            file.flush()
            self.put_file(key, file.name)

    def put_named(self, prefix: str, write: Callable[[IO[bytes]], object], name: Callable[[], str]) -> str:
        """Nothing can be sent without a name."""
        found = name()
        self.put_written(f"{prefix}/{found}", write)
        return found

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write with a conditional, single-part put."""

        def create(fs: Any, path: str) -> bool:
            try:
                fs.pipe_file(path, data, mode="create")
            except OSError as error:
                # Some servers say "precondition failed" without naming the condition: s3fs then raises EINVAL.
                if not isinstance(error, FileExistsError) and (error.errno != errno.EINVAL or not fs.exists(path)):
                    raise
                # The client asks again by itself where an answer was lost: then the object is ours.
                return bool(fs.cat_file(path) == data)
            return True

        return self._ask("write", key, create)

    def get(self, key: str) -> bytes:
        """Read with one request, a large object with several side by side."""

        def read(fs: Any, path: str) -> bytes:
            try:
                data: bytes = read_object(fs, path) if self._is_s3 else fs.cat_file(path)
            except FileNotFoundError as error:
                if is_missing_bucket(error):
                    raise
                raise ObjectMissing(f"{self.uri}/{key}") from error
            return data

        return self._ask("read", key, read)

    def exists(self, key: str) -> bool:
        """Ask for the object's head."""

        def look(fs: Any, path: str) -> bool:
            # Not `isfile`, which takes a store that does not answer for one without the object.
            try:
                if self._is_s3:
                    bucket, name, _ = fs.split_path(path)
                    fs.call_s3("head_object", Bucket=bucket, Key=name)
                    return True
                return bool(fs.info(path)["type"] == "file")
            except FileNotFoundError:
                return False

        return self._ask("read", key, look)

    def keys(self, prefix: str) -> list[str]:
        """List all pages below the prefix."""
        found = self._ask("read", prefix, lambda fs, path: fs.find(path))
        skip = len(self._base) + 1
        return sorted(str(path)[skip:] for path in found)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove one by one; bulk removal is for retention."""

        def remove(fs: Any, path: str) -> None:
            try:
                fs.rm_file(path)
            except FileNotFoundError as error:
                if is_missing_bucket(error):
                    raise

        for key in keys:
            self._ask("delete", key, remove)

    @property
    def _base(self) -> str:
        return self.uri.partition("://")[2]

    @property
    def _is_s3(self) -> bool:
        return protocol_of(self.uri) == "s3"

    def _ask(self, what: str, key: str, call: Callable[[Any, str], T]) -> T:
        if ".." in key.split("/"):
            raise StoreError(f"A key must stay below its root, got {key!r}.")
        uri = f"{self.uri}/{key}" if key else self.uri

        def ask() -> T:
            fs, _ = locate(self.uri, self.options)
            return call(fs, f"{self._base}/{key}")

        return told(what, uri, ask)
