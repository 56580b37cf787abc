"""Bytes at a key below a root: one protocol, with a folder and S3 (or any fsspec URL) behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flyte_ray.errors import InvalidDeclaration, StoreError
from flyte_ray.storage.disk import DiskStore
from flyte_ray.storage.patient import PatientStore
from flyte_ray.storage.store import Store

__all__ = ["Store", "ensure_writable", "open_place", "open_store", "witnessed"]


def open_store(uri: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Store:
    """Open a root: a path (`~` is expanded), `file://…`, `s3://bucket/prefix` or another fsspec URL.

    Args:
        uri: The root; it need not exist yet.
        options: Arguments for the fsspec file system, such as `endpoint_url`; never recorded.

    Raises:
        InvalidDeclaration: It names no bucket, or a file.

    """
    text = os.fspath(uri)
    if "://" in text and not text.partition("://")[2].strip("/"):
        raise InvalidDeclaration(
            f"A root names a folder or a bucket, got {text!r}. Write for example 's3://bucket/runs'."
        )
    if "://" not in text or text.startswith("file://"):
        path = os.path.abspath(os.path.expanduser(text.removeprefix("file://")))
        if os.path.isfile(path):
            raise InvalidDeclaration(f"A root names a folder or a bucket, got the file {path}. Name a folder.")
        return DiskStore(path)
    from flyte_ray.storage.remote import RemoteStore  # fsspec and s3fs take half a second to import

    return RemoteStore(text.rstrip("/"), dict(options or {}))


def _open_beside(store: Store, uri: str) -> Store:
    """Open another place with the patience of a store, and with its arguments where the same file system takes them."""
    same = uri.partition("://")[0] == store.uri.partition("://")[0]
    beside = open_store(uri, store.options if same else None)
    return PatientStore(beside, store.patience) if isinstance(store, PatientStore) else beside


def open_place(store: Store, place: str) -> tuple[Store, str]:
    """Open where a run's large values lie; returns a store and a prefix of it.

    Args:
        store: The root.
        place: A prefix of the root, or an absolute path or URL of a folder elsewhere.

    """
    if "://" not in place and not os.path.isabs(place):
        return store, place
    base, _, prefix = place.rpartition("/")
    return _open_beside(store, base), prefix


def witnessed(store: Store, key: str) -> Store:
    """Return the store, which from here on counts as away while it lacks an object that is known to be there.

    A folder whose disk was unmounted, or that was moved, looks like an empty root, and would be written to. A bucket
    is never replaced by an empty one, and is not asked.
    """
    return replace(store, witness=key) if isinstance(store, DiskStore) else store


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
