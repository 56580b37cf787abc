"""Show stored values without loading them: of what kind each is, how large, and how it begins.

Invariants: no pickle is loaded and no class of a user imported; of a table its schema is read, of a large text its
beginning.
"""

from __future__ import annotations

import base64
import io
import json
import mimetypes
from typing import Any, Final

from flyte_ray.types.marks import (
    ARROW_MARK,
    BYTES_MARK,
    CLASS_MARK,
    DATASET_MARK,
    HASH_MARK,
    JSON_MARK,
    MEMBER_MARK,
    NPY_MARK,
    PICKLE_MARK,
    TORCH_MARK,
)
from flyte_ray.types.place import OWN_MARK, Blobs
from flyte_ray.types.references import is_located, place_of

CUT: Final = 4096
"""Characters of a preview."""
MOST_ENTRIES: Final = 1000
"""Files of a folder that are named."""
_WRAPPED: Final = (HASH_MARK, CLASS_MARK, MEMBER_MARK)
_BINARY: Final = {PICKLE_MARK: "pickle", NPY_MARK: "array", TORCH_MARK: "array", BYTES_MARK: "file"}
_PARQUET: Final = "parquet"


class Stored:
    """One input or output as it is stored, with the place where its large parts lie."""

    def __init__(self, name: str, raw: Any, blobs: Blobs) -> None:
        """Unwrap what was taken from another run, and what says of which class it is."""
        place, raw = place_of(raw)
        self.name, self.type = name, ""
        self.blobs = blobs.elsewhere(place) if place else blobs
        while isinstance(raw, dict) and "value" in raw and any(mark in raw for mark in _WRAPPED):
            self.type = self.type or str(raw.get(CLASS_MARK) or raw.get(MEMBER_MARK) or "")
            raw = raw["value"]
        self.raw = raw

    @property
    def mark(self) -> str:
        """The mark that says how it is stored; empty where it is plain JSON."""
        if not isinstance(self.raw, dict):
            return ""
        return next((mark for mark in (ARROW_MARK, DATASET_MARK, JSON_MARK, *_BINARY) if mark in self.raw), "")

    @property
    def uri(self) -> str | None:
        """Where it lies if it has an object of its own; a URL."""
        if self.mark in (ARROW_MARK, DATASET_MARK):
            return self.blobs.absolute(self.raw[self.mark])
        if self.mark and isinstance(self.raw[self.mark], dict):
            return self.blobs.absolute(self.raw[self.mark]["uri"])
        if isinstance(self.raw, dict) and is_located(self.raw):
            path = str(self.raw["path"])
            own = path.startswith(OWN_MARK)
            return self.blobs.absolute(path.removeprefix(OWN_MARK)) if own else path
        return None

    @property
    def is_own(self) -> bool:
        """Whether it lies in the place of its run, and not behind somebody's URL."""
        own = self.blobs.relative(self.uri or "")
        return own is not None and ".." not in own.split("/")

    @property
    def is_parquet(self) -> bool:
        """Whether it is a file of Parquet."""
        return isinstance(self.raw, dict) and is_located(self.raw) and self.raw["format"] == _PARQUET

    @property
    def file_name(self) -> str:
        """What a download is called."""
        if isinstance(self.raw, dict) and is_located(self.raw):
            return str(self.raw["name"] or self.name)
        endings = {ARROW_MARK: ".arrow", PICKLE_MARK: ".pkl", NPY_MARK: ".npy", TORCH_MARK: ".pt", BYTES_MARK: ".bin"}
        return f"{self.name}{endings.get(self.mark, '.txt' if isinstance(self.raw, str) else '.json')}"

    @property
    def media_type(self) -> str:
        """What a download is."""
        return mimetypes.guess_type(self.file_name)[0] or "application/octet-stream"

    @property
    def is_image(self) -> bool:
        """Whether it is shown as an image; not one that may hold scripts."""
        return self.media_type.startswith("image/") and not self.media_type.startswith("image/svg")

    def inline_bytes(self) -> bytes | None:
        """Return its content where that stands in the record itself; None where it has an object of its own."""
        if self.uri is not None:
            return None
        if self.mark:
            text = self.raw[self.mark]
            if self.mark == PICKLE_MARK:
                text = text.rpartition(":")[2]  # key and digest stand before it
            return base64.b64decode(text)
        return self.raw.encode() if isinstance(self.raw, str) else json.dumps(self.raw, indent=1).encode()


def preview(stored: Stored) -> dict[str, Any]:
    """Describe a stored value.

    Returns:
        `name`, `type` (class, where it is recorded), `kind` (`json`, `text`, `table`, `file`, `dir`, `image`, `array`
        or `pickle`), `preview` (text of 4,096 characters at most), `whole` (the preview is all of it), `size` (bytes,
        None where nobody looked), `rows` (of a table; of a folder its files), `schema` (`[column, type]` each),
        `entries` of a folder (`[path, size]` each, 1,000 at most), `uri`, and `value`: the JSON itself where the
        preview is whole.

    """
    found: dict[str, Any] = {
        "name": stored.name,
        "type": stored.type,
        "kind": "json",
        "preview": "",
        "whole": False,
        "size": None,
        "rows": None,
        "schema": None,
        "entries": None,
        "uri": stored.uri,
        "value": None,
    }
    if stored.mark == ARROW_MARK or stored.is_parquet:
        return {**found, **_table(stored)}
    if isinstance(stored.raw, dict) and is_located(stored.raw):
        return {**found, **_located(stored)}
    if stored.mark == DATASET_MARK:
        return {**found, "kind": "dir", "type": "ray.data.Dataset"}
    if stored.mark in _BINARY:
        return {**found, **_binary(stored)}
    if stored.mark == JSON_MARK:
        about = stored.raw[JSON_MARK]
        text = _beginning(stored.blobs, about["uri"])
        kind = "text" if text.startswith('"') else "json"
        return {**found, "kind": kind, "size": about["bytes"], "preview": text}
    return {**found, **_plain(stored.raw)}


def _plain(raw: Any) -> dict[str, Any]:
    is_text = isinstance(raw, str)
    text = raw if is_text else json.dumps(raw, indent=1, ensure_ascii=False)
    whole = len(text) <= CUT
    kind = "text" if is_text else "json"
    about = {"kind": kind, "preview": text[:CUT], "whole": whole, "size": len(text.encode("utf-8", "replace"))}
    return {**about, "value": raw if whole else None}


def _beginning(blobs: Blobs, uri: str) -> str:
    """Read of a large text what is shown, and not the rest."""
    path = blobs.local_path(uri)
    if path is not None:
        with open(path, "rb") as file:
            data = file.read(4 * CUT)
    else:
        there, system = blobs.arrow_place(uri)
        with system.open_input_file(there) as remote:
            data = remote.read(4 * CUT)
    return data.decode("utf-8", "replace")[:CUT]


def _table(stored: Stored) -> dict[str, Any]:
    raw = stored.raw
    about = {"kind": "table", "type": raw.get("as") or ("parquet" if stored.is_parquet else "pyarrow.Table")}
    return {**about, "rows": raw.get("rows")}


def _located(stored: Stored) -> dict[str, Any]:
    path = str(stored.raw["path"])
    about: dict[str, Any] = {"kind": "file", "preview": path.removeprefix(OWN_MARK) if stored.is_own else path}
    if stored.is_own:
        contents = stored.blobs.contents(path.removeprefix(OWN_MARK))
        if contents is not None or path == "empty://":
            names = sorted(contents or ())
            sizes = [(contents or {})[name][1] for name in names]
            entries = [[name, size] for name, size in zip(names, sizes, strict=True)]
            about = {**about, "kind": "dir", "preview": "\n".join(names)[:CUT], "size": sum(sizes)}
            return {**about, "rows": len(names), "entries": entries[:MOST_ENTRIES]}
    if stored.is_image:
        about["kind"] = "image"
    return about


def _binary(stored: Stored) -> dict[str, Any]:
    kind, data = _BINARY[stored.mark], stored.inline_bytes()
    size = len(data) if data is not None else stored.raw[stored.mark]["bytes"]
    text = _array_text(data) if stored.mark == NPY_MARK and data is not None else ""
    return {"kind": kind, "size": size, "preview": text, "type": stored.type or kind}


def _array_text(data: bytes) -> str:
    """Say shape and type of an array, which stand in its head as plain text."""
    header = io.BytesIO(data)
    header.seek(8)
    length = int.from_bytes(header.read(2 if data[6] == 1 else 4), "little")
    return header.read(min(length, CUT)).decode("latin-1").strip()
