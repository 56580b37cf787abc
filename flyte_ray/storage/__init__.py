"""Bytes at a key below a root, be it a folder, S3 or any fsspec URL; and the functions of `flyte.storage`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flyte_ray.errors import InvalidDeclaration, StoreError
from flyte_ray.storage.copying import (
    exists,
    exists_sync,
    get,
    get_configured_fsspec_kwargs,
    get_random_local_directory,
    get_random_local_path,
    get_underlying_filesystem,
    is_remote,
    join,
    put,
)
from flyte_ray.storage.disk import DiskStore
from flyte_ray.storage.local import local_path
from flyte_ray.storage.patient import PatientStore
from flyte_ray.storage.providers import ABFS, GCS, S3, Options, Storage
from flyte_ray.storage.remote import RemoteStore
from flyte_ray.storage.store import Store
from flyte_ray.storage.streams import get_stream, open, put_stream

__all__ = [
    "ABFS",
    "GCS",
    "S3",
    "Storage",
    "Store",
    "ensure_writable",
    "exists",
    "exists_sync",
    "get",
    "get_configured_fsspec_kwargs",
    "get_random_local_directory",
    "get_random_local_path",
    "get_stream",
    "get_underlying_filesystem",
    "is_remote",
    "join",
    "open",
    "open_place",
    "open_store",
    "put",
    "put_stream",
    "sweep",
    "witnessed",
]

SWEPT_S: Final = 600.0
"""Age in seconds from which on a half-written file belongs to nobody: a clock may be that wrong, a disk that slow."""


def open_store(uri: str | os.PathLike[str], options: Options | None = None) -> Store:
    """Open a root: a path (`~` is expanded), `file://…`, `s3://bucket/prefix` or another fsspec URL.

    Args:
        uri: The root; it need not exist yet.
        options: fsspec arguments by protocol, for the root and for files elsewhere that its runs use; never recorded.

    Raises:
        InvalidDeclaration: It names no bucket, or a file.

    """
    text = os.fspath(uri)
    if "://" in text and not text.partition("://")[2].strip("/"):
        raise InvalidDeclaration(
            f"A root names a folder or a bucket, got {text!r}. Write for example 's3://bucket/runs'."
        )
    path = local_path(text)
    if path is not None:
        folder = os.path.abspath(os.path.expanduser(path))
        if os.path.isfile(folder):
            raise InvalidDeclaration(f"A root names a folder or a bucket, got the file {folder}. Name a folder.")
        return DiskStore(folder, options=options or {})
    return RemoteStore(text.rstrip("/"), options or {})


def open_place(store: Store, place: str, witness: str | None = None) -> tuple[Store, str]:
    """Open where a run's large values lie; returns a store and a prefix of it.

    Args:
        store: The root.
        place: A prefix of the root, or an absolute path or URL of a folder elsewhere.
        witness: Name below the place of an object that is known to be there, if it is elsewhere; see `witnessed`.

    """
    if "://" not in place and not os.path.isabs(place):
        return store, place
    base, _, prefix = place.rpartition("/")
    beside = open_store(base, store.options)
    beside = witnessed(beside, f"{prefix}/{witness}") if witness else beside
    return PatientStore(beside, store.patience) if isinstance(store, PatientStore) else beside, prefix


def witnessed(store: Store, key: str) -> Store:
    """Return the store, which from here on counts as away while it lacks an object that is known to be there.

    A folder whose disk was unmounted, or that was moved, looks like an empty root, and would be written to. A bucket
    is never replaced by an empty one, and is not asked.
    """
    return replace(store, witness=key) if isinstance(store, DiskStore) else store


def sweep(store: Store, prefixes: Iterable[str]) -> None:
    """Remove what processes that were killed have left half written; a bucket shows nothing of that.

    Of what somebody still writes nothing is lost: it is younger, and one that is taken away is written again.
    """
    if isinstance(store, DiskStore):
        for prefix in prefixes:
            store.sweep(prefix, SWEPT_S)


def ensure_writable(store: Store) -> None:
    """Write and remove a probe object.

    Raises:
        StoreError: The root cannot be written; the sentence names it and what to do.

    """
    key = f"probe/{os.getpid()}"
    try:
        store.put(key, b"probe")
        store.delete([key])
    except (StoreError, OSError) as error:
        raise StoreError(
            f"The root {store.uri} should be writable, but: {str(error).rstrip('.')}. Choose another with --root or"
            f" FLYTE_RAY_ROOT."
        ) from error
