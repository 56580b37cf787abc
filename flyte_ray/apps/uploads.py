"""Bring files of the deployer's machine to where all replicas can read them: into the root, by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from flyte_ray.ledger.paths import app_data_key
from flyte_ray.storage import Store

_PIECE = 1 << 20


def upload(store: Store, path: str) -> str:
    """Store a file or folder under the digest of its content; return its URI. What is there is not sent again."""
    place, files = _locate(path)
    wanted = {key: file for key, file in files.items() if not store.exists(key)}
    if wanted:
        store.put_files(wanted)
    return f"{store.uri}/{place}"


def future_uri(store: Store, path: str) -> str:
    """Return the URI that a file or folder would have, without storing it."""
    return f"{store.uri}/{_locate(path)[0]}"


def _locate(path: str) -> tuple[str, dict[str, str]]:
    """Compute where a file or folder belongs, and the files by their keys."""
    root = Path(path)
    files = sorted(each for each in root.rglob("*") if each.is_file()) if root.is_dir() else [root]
    digests = [(each.relative_to(root).as_posix(), _digest(each)) for each in files]
    total = hashlib.sha256("\n".join(f"{name}\0{digest}" for name, digest in digests).encode()).hexdigest()
    place = app_data_key(total, root.name)
    return place, {
        f"{place}/{name}" if name != "." else place: os.fspath(each)
        for (name, _), each in zip(digests, files, strict=True)
    }


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    for piece in _pieces(path):
        total.update(piece)
    return total.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
