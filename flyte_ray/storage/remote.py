"""A root behind fsspec: S3 through s3fs, and what else fsspec offers.

Invariants: no file system instance crosses a fork or a pickle; listings are never answered from a cache.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from flyte_ray.errors import ObjectMissing, StoreError

T = TypeVar("T")

_S3_OPTIONS: dict[str, Any] = {
    "use_listings_cache": False,
    "skip_instance_cache": True,
    "default_block_size": 16 << 20,
    "max_concurrency": 8,
    "config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 3}, "max_pool_connections": 32},
}


class RemoteStore:
    """A store below an fsspec URL."""

    def __init__(self, uri: str, options: dict[str, Any]) -> None:
        """Prepare; the connection is made at first use, in the process that uses it."""
        self.uri = uri
        self._options = options
        self._scheme, _, self._base = uri.partition("://")
        self._made: tuple[int, Any] | None = None
        self._lock = threading.Lock()

    @property
    def options(self) -> Mapping[str, Any]:
        """As given, without our defaults."""
        return self._options

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteStore, (self.uri, self._options)

    def put(self, key: str, data: bytes) -> None:
        """Write with one call, which S3 makes atomic."""
        self._ask(key, lambda fs, path: fs.pipe_file(path, data), writes=True)

    def put_file(self, key: str, path: str) -> None:
        """Write in parts, of which a reader sees none before the last."""
        with open(path, "rb"):  # what is missing here is no matter of the store
            self._ask(key, lambda fs, target: fs.put_file(path, target), writes=True)

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

        return self._ask(key, create, writes=True)

    def get(self, key: str) -> bytes:
        """Read with one request where the client allows it."""
        small = {"max_concurrency": 1} if self._scheme == "s3" else {}
        data: bytes = self._ask(key, lambda fs, path: fs.cat_file(path, **small))
        return data

    def exists(self, key: str) -> bool:
        """Ask for the object's head; not by `isfile`, which takes a store that fails for one without the object."""
        try:
            return bool(self._ask(key, lambda fs, path: fs.info(path)["type"] == "file"))
        except ObjectMissing:
            return False

    def keys(self, prefix: str) -> list[str]:
        """List all pages below the prefix."""
        found = self._ask(prefix, lambda fs, path: fs.find(path))
        skip = len(self._base) + 1
        return sorted(str(path)[skip:] for path in found)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove one by one; bulk removal is for retention."""
        for key in keys:
            try:
                self._ask(key, lambda fs, path: fs.rm_file(path))
            except ObjectMissing:
                continue

    def _ask(self, key: str, call: Callable[[Any, str], T], *, writes: bool = False) -> T:
        try:
            return call(self._filesystem(), f"{self._base}/{key}")
        except Exception as error:
            if isinstance(error, FileNotFoundError) and not writes:
                raise ObjectMissing(f"{self.uri}/{key}") from error
            # botocore's connection errors have no base in common with OSError; all of them mean the same to us.
            raise StoreError(f"The store did not take {self.uri}/{key}: {type(error).__name__}: {error}") from error

    def _filesystem(self) -> Any:
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                import fsspec

                defaults = _S3_OPTIONS if self._scheme == "s3" else {}
                self._made = os.getpid(), fsspec.filesystem(self._scheme, **{**defaults, **self._options})
            return self._made[1]
