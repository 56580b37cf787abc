"""Remember where values of this process are stored already, of kinds that never change."""

from __future__ import annotations

import weakref
from typing import Any

from flyte_ray.types.place import Blobs


class Known:
    """Stored forms by value and place; a value that is gone is forgotten."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_id: dict[int, tuple[weakref.ref[Any], str, dict[str, Any]]] = {}

    def add(self, value: Any, blobs: Blobs, raw: dict[str, Any]) -> None:
        """Remember where a value lies."""
        key = id(value)
        # Single steps of a dict need no lock, and the collector may call this while one is held.
        self._by_id[key] = weakref.ref(value, lambda _: self._by_id.pop(key, None)), blobs.absolute(""), raw

    def get(self, value: Any, blobs: Blobs) -> dict[str, Any] | None:
        """Return how a value is stored in a place; None if it is not, as far as is known."""
        found = self._by_id.get(id(value))
        return found[2] if found and found[0]() is value and found[1] == blobs.absolute("") else None
