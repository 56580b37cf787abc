"""Name what would be stored, and store nothing: the inputs of a step are recorded for their digest, never read back.

Invariants: what is named here is nowhere, so nothing may take it for stored; files alone are stored, whose names are
their content's.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import IO, Any, cast

from flyte_ray.types import Blobs


class _Unstored:
    """The place of a run; whatever is not said here is as there."""

    def __init__(self, place: Blobs) -> None:
        self._place = place

    def put(self, data: bytes, suffix: str, name: str | None = None) -> str:
        return f"{name or uuid.uuid4().hex}{suffix}"

    def put_written(self, write: Callable[[IO[bytes]], object], suffix: str, name: str | Callable[[], str]) -> str:
        return f"{name if isinstance(name, str) else name()}{suffix}"

    def absolute(self, uri: str) -> str:
        return f"unstored://{uri}"

    def arrow_place(self, uri: str) -> tuple[str, Any]:
        raise TypeError("a dataset has no name of its content")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place, name)


def unstored(place: Blobs) -> Blobs:
    """Return the place of a run for values that need not be there."""
    return cast("Blobs", _Unstored(place))
