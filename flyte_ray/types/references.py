"""Stored outputs that are used outside of the run that made them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from flyte_ray.types.hashing import CONTENT, SEEN
from flyte_ray.types.marks import (
    ARROW_MARK,
    BYTES_MARK,
    DATASET_MARK,
    DICT_MARK,
    JSON_MARK,
    NPY_MARK,
    PICKLE_MARK,
    PLACE_MARK,
    TORCH_MARK,
)
from flyte_ray.types.place import OWN_MARK

_BY_CONTENT: Final = re.compile(rf"(?:^{OWN_MARK}|://.*/runs/[^/]+/data/)([0-9a-f]{{32}}/.+)$")
"""The recorded path or the URL of what `put_path` stored in a run's own folder, or of a file in such a folder."""
_LOCATED: Final = frozenset({"path", "name", "format", "hash"})
"""The fields of a file or folder."""
_REFERRING: Final = (JSON_MARK, PICKLE_MARK, BYTES_MARK, NPY_MARK, TORCH_MARK)


def references(text: str, read: Callable[[str], bytes] | None = None) -> list[str]:
    """List what a stored value refers to: URIs relative to its run's place.

    Args:
        text: JSON of it.
        read: Reads an object, so that what a large value refers to is listed, too.

    """
    return list(_references(json.loads(text), read))


def _references(part: Any, read: Callable[[str], bytes] | None) -> Iterator[str]:
    if isinstance(part, dict):
        for mark in (ARROW_MARK, DATASET_MARK):
            if mark in part:
                yield part[mark]
        for mark in _REFERRING:
            if isinstance(part.get(mark), dict):
                yield part[mark]["uri"]
        if read is not None and JSON_MARK in part:
            yield from _references(json.loads(read(part[JSON_MARK]["uri"])), read)
        if is_located(part) and part["path"].startswith(OWN_MARK):
            yield part["path"].removeprefix(OWN_MARK)
        for value in part.values():
            yield from _references(value, read)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value, read)


def is_located(part: dict[str, Any]) -> bool:
    """Tell whether a part of a stored value is a file or folder.

    A user's own dict or dataclass that looks like one is stored as pairs, see `apart`.
    """
    path, stamp = part.get("path"), part.get("hash")
    is_placed = isinstance(path, str) and (path.startswith(OWN_MARK) or "://" in path)
    return is_placed and part.keys() >= _LOCATED and (stamp is None or isinstance(stamp, str))


def apart(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the stored form of a user's own fields, as pairs where they would pass for a file or folder."""
    return {DICT_MARK: [list(pair) for pair in raw.items()]} if "path" in raw and is_located(raw) else raw


def is_by_content(path: str) -> bool:
    """Tell whether the recorded path of a file or folder says what it holds."""
    return _BY_CONTENT.search(path) is not None


def identity_of(located: dict[str, Any]) -> dict[str, Any]:
    """Return what tells a stored file or folder from others, so that a call with it is the same call in every run.

    That is its content where we have stored it, what the user says of it, or its URL with what was seen there.
    """
    stamp = located["hash"]
    if stamp is None or stamp.startswith(SEEN):
        found = _BY_CONTENT.search(located["path"])
        return {**located, "path": f"{OWN_MARK}{found[1]}" if found else located["path"]}
    if stamp.startswith(CONTENT):
        return {name: value for name, value in located.items() if name != "path"}
    # A class of the user's that is a file may have fields of its own.
    return {name: value for name, value in located.items() if name not in ("path", "name", "format")}


def taken_from(place: str, text: str) -> str:
    """Wrap another run's output so that what it refers to is found."""
    return f'{{"{PLACE_MARK}":{json.dumps(place)},"value":{text}}}'


def place_of(raw: Any) -> tuple[str | None, Any]:
    """Return where the large values of an output lie, None for its own run's place, and the output itself."""
    if isinstance(raw, dict) and PLACE_MARK in raw:
        return raw[PLACE_MARK], raw["value"]
    return None, raw
