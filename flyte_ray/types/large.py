"""Keep large values beside the log: objects named by their content, to which the log refers.

Invariants: the same content gets the same name, so that a parent that runs again stores nothing twice; a reference is
recorded after its object is stored.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from flyte_ray.types.digest import digest_of, is_comparable_raw, signers
from flyte_ray.types.marks import BYTES_MARK, JSON_MARK, PICKLE_MARK, utf8, write
from flyte_ray.types.place import Blobs

INLINE_BYTES: Final = 64 * 1024
"""Largest value that lies in the log."""
_OUTSIDE: Final = tuple(f'"{mark}":{{' for mark in (PICKLE_MARK, BYTES_MARK))


def outline(raw: Any, blobs: Blobs) -> Any:
    """Put a stored form beside the log if it is large, and return what refers to it."""
    text = write(raw)
    if len(text) <= INLINE_BYTES:
        return raw
    found = {**put_bytes(utf8(text), ".json", blobs), "digest": digest_of(raw)}
    # Whether it may be a cache key, and who can load it, must be known without reading it.
    return {JSON_MARK: found if is_comparable_raw(raw) else {**found, "pickled": sorted(signers(raw))}}


def inline(raw: Any, blobs: Blobs) -> Any:
    """Return the stored form that `outline` was given."""
    if type(raw) is dict and JSON_MARK in raw:
        return json.loads(get_bytes(raw[JSON_MARK], blobs))
    return raw


def put_bytes(data: bytes, suffix: str, blobs: Blobs) -> dict[str, Any]:
    """Store bytes under a name of their content, and return a reference."""
    name = hashlib.sha256(data).hexdigest()[:32]
    return {"uri": blobs.put(data, suffix, name), "bytes": len(data)}


def get_bytes(reference: dict[str, Any], blobs: Blobs) -> bytes:
    """Read what `put_bytes` stored."""
    return blobs.get(reference["uri"])


def size_of(raw: Any, text: str) -> int:
    """Return the bytes of a value without its files and tables, be they in the log or beside it.

    Args:
        raw: Its stored form before `outline`.
        text: JSON of that.

    """
    outside = _outside(raw) if any(sign in text for sign in _OUTSIDE) else 0
    return len(utf8(text)) + outside


def _outside(part: Any) -> int:
    if isinstance(part, dict):
        for mark in (PICKLE_MARK, BYTES_MARK):
            if isinstance(part.get(mark), dict):
                return int(part[mark]["bytes"])
        return sum(_outside(value) for value in part.values())
    return sum(_outside(value) for value in part) if isinstance(part, list) else 0
