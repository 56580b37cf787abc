"""Read files and folders that a user names by path or URL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

Options = Mapping[str, object]


def local_path(uri: str) -> str | None:
    """Return the path of what lies on this machine's disk, None for other URLs."""
    if uri.startswith("file://"):
        return uri.removeprefix("file://")
    return None if "://" in uri else uri


def open_uri(uri: str, mode: str, options: Options) -> IO[Any]:
    """Open for reading.

    Raises:
        FileNotFoundError: There is no such file.

    """
    path = local_path(uri)
    if path is not None:
        return open(path, mode)
    import fsspec  # half a second with s3fs

    return cast("IO[Any]", fsspec.open(uri, mode, **options).open())


def has_uri(uri: str, options: Options) -> bool:
    """Tell whether a file or folder lies there."""
    path = local_path(uri)
    if path is not None:
        return os.path.exists(path)
    filesystem, key = _split(uri, options)
    return bool(filesystem.exists(key))


def list_files(uri: str, options: Options) -> list[str]:
    """Return the URIs of all files below a folder, sorted."""
    path = local_path(uri)
    if path is not None:
        start = "file://" if uri.startswith("file://") else ""
        return sorted(f"{start}{found}" for found in Path(path).rglob("*") if found.is_file())
    filesystem, key = _split(uri, options)
    return sorted(filesystem.unstrip_protocol(found) for found in filesystem.find(key))


def fetch(uri: str, target: str, options: Options) -> None:
    """Copy a file to a local path, whose folder is made."""
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    path = local_path(uri)
    if path is not None:
        shutil.copyfile(path, target)
        return
    filesystem, key = _split(uri, options)
    filesystem.get_file(key, target)


def _split(uri: str, options: Options) -> tuple[Any, str]:
    import fsspec  # half a second with s3fs

    filesystem, key = fsspec.core.url_to_fs(uri, **options)
    return filesystem, key
