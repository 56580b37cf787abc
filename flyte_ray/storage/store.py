"""The one seam to where bytes lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import IO, Protocol

from flyte_ray.storage.providers import Options


class Store(Protocol):
    """Objects below one root; safe to use from many threads, and picklable."""

    @property
    def uri(self) -> str:
        """The root as a URL, without a trailing slash."""

    @property
    def options(self) -> Options:
        """The fsspec arguments by protocol that it was opened with; never recorded."""

    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object; a reader sees the old or the new one, never a part."""

    def put_file(self, key: str, path: str) -> None:
        """Write an object with the content of a local file, in parts if it is large."""

    def put_files(self, files: Mapping[str, str]) -> None:
        """Write many objects, given as local path by key; if that fails some of them may be there."""

    def put_written(self, key: str, write: Callable[[IO[bytes]], object]) -> None:
        """Write or replace an object with what a function writes to a file that it is given, maybe more than once."""

    def put_named(self, prefix: str, write: Callable[[IO[bytes]], object], name: Callable[[], str]) -> str:
        """Write an object below a prefix, whose name is asked for as late as possible; returns that.

        Objects of equal names must be equal: one that is there already may stay.
        """

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object that must not exist; False if it does.

        Two writers must not write equal bytes: an object that holds them may count as written by this call.
        """

    def get(self, key: str) -> bytes:
        """Read an object; raises `ObjectMissing` if there is none."""

    def exists(self, key: str) -> bool:
        """Tell whether an object lies at the key."""

    def keys(self, prefix: str) -> list[str]:
        """Return all keys below a prefix, sorted; empty if there are none."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are missing already are fine."""
