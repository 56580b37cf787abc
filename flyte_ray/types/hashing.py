"""Give values an identity by their content: what a user may hand in as `hash_method`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

CONTENT: Final = "sha256:"
"""Begins the hash of a file or folder that we have computed from its content."""
SEEN: Final = "seen:"
"""Begins the hash of what was only looked at: its size, and the mark that its server gives it."""


def folder_hash(digests: Mapping[str, str]) -> str:
    """Hash a folder by the digests of its files, given by their paths in it."""
    return f"{CONTENT}{hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()}"


@runtime_checkable
class HashMethod(Protocol):
    """Takes a content piece by piece, and then says a hash. Source: `flyte.io.HashMethod`."""

    def update(self, data: Any, /) -> None:
        """Take the next piece: bytes of a file, or a data frame."""

    def result(self) -> str:
        """Return the hash of all pieces."""


def begun(method: HashMethod) -> HashMethod:
    """Return a method that has forgotten what it was given before, if it can: one serves many values."""
    reset: Callable[[], None] | None = getattr(method, "reset", None)
    if reset is not None:
        reset()
    return method


class HashFunction:
    """A hash method made of a function of the whole value. Source: `flyte.io.HashFunction`."""

    def __init__(self, fn: Callable[[Any], str]) -> None:
        """Use `from_fn`."""
        self._fn = fn
        self._pieces: list[Any] = []

    @classmethod
    def from_fn(cls, fn: Callable[[Any], str]) -> HashFunction:
        """Make one; the function gets the value, for a file all its bytes, and returns its hash."""
        return cls(fn)

    def update(self, data: Any, /) -> None:
        """Take a piece."""
        self._pieces.append(bytes(data) if isinstance(data, memoryview) else data)

    def result(self) -> str:
        """Return the function's hash of the value."""
        pieces, self._pieces = self._pieces, []
        whole = b"".join(pieces) if all(isinstance(piece, bytes) for piece in pieces) else pieces[-1]
        return str(self._fn(whole))


class HashlibAccumulator:
    """A hash method made of one of `hashlib`."""

    def __init__(self, method: Any) -> None:
        """Wrap an object such as `hashlib.sha256()`."""
        self._begun, self._method = method.copy(), method

    @classmethod
    def from_hash_name(cls, name: str) -> HashlibAccumulator:
        """Make one of a name such as `sha256`."""
        return cls(hashlib.new(name))

    def update(self, data: Any, /) -> None:
        """Take a piece."""
        self._method.update(data)

    def reset(self) -> None:
        """Forget the pieces: another content follows."""
        self._method = self._begun.copy()

    def result(self) -> str:
        """Return the hash of all pieces so far."""
        return str(self._method.hexdigest())


class ContentHash(HashlibAccumulator):
    """What we hash contents with ourselves."""

    def __init__(self) -> None:
        """Begin."""
        super().__init__(hashlib.sha256())

    def result(self) -> str:
        """Return the hash, marked as ours."""
        return f"{CONTENT}{super().result()}"
