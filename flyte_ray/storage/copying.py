"""Copy files and folders between this machine and stores, for who wants no `File`: `flyte.storage.get` and `put`."""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from functools import partial
from pathlib import Path
from typing import Any, Final

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.storage.files import fetch_all, list_files, look_at, path_below, send_all
from flyte_ray.storage.filesystems import filesystem
from flyte_ray.storage.local import local_path
from flyte_ray.storage.providers import ABFS, GCS, S3, Storage, protocol_of
from flyte_ray.storage.working import current_options, reading, require_working

_KINDS: Final[dict[str, type[Storage]]] = {"s3": S3, "gs": GCS, "abfs": ABFS}


async def get(
    from_path: str, to_path: str | os.PathLike[str] | None = None, recursive: bool = False, **accepted: Any
) -> str:
    """Copy a file, or with `recursive` a folder, to this machine. Source: `flyte.storage.get`.

    Args:
        from_path: A path or URL.
        to_path: Where to; a folder that exists takes a file under its own name. None makes a temporary folder.
        recursive: It is a folder; what lies in it goes to `to_path`.
        accepted: Whatever else a file system of Flyte's takes: not needed here.

    Returns:
        The path of the copy.

    Raises:
        FileNotFoundError: It is not there.

    """
    return await asyncio.to_thread(_get, from_path, to_path, recursive)


async def put(from_path: str, to_path: str | None = None, recursive: bool = False, **accepted: Any) -> str:
    """Copy a local file, or with `recursive` a folder, to a store. Source: `flyte.storage.put`.

    Args:
        from_path: On this machine.
        to_path: A path or URL; None makes a place of the run whose task calls this.
        recursive: It is a folder; what lies in it goes below `to_path`.
        accepted: `batch_size`, `chunk_size`, `max_concurrency`: not needed here.

    Returns:
        The path or URL.

    Raises:
        FileNotFoundError: There is no such file or folder.
        StoreError: The store did not take it.
        NotInTaskContextError: There is no `to_path`, and no task that calls this.

    """
    target = to_path or require_working("put").place.fresh(os.path.basename(from_path.rstrip("/")) or "data")
    await asyncio.to_thread(_put, from_path.removeprefix("file://"), target, recursive)
    return target


async def exists(path: str, **accepted: Any) -> bool:
    """Tell whether a file or folder is there, without blocking the loop; see `exists_sync`."""
    return await asyncio.to_thread(exists_sync, path)


def exists_sync(path: str, **accepted: Any) -> bool:
    """Tell whether a file or folder is there; `accepted` as of `get`."""
    return reading(path, lambda: look_at(path, current_options())) is not None


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path or URL lies elsewhere than on this machine's disk."""
    return local_path(os.fspath(path)) is None


def join(*paths: str) -> str:
    """Join parts of a path or URL."""
    return os.path.join(*paths)


def get_random_local_path(file_path_or_file_name: str | os.PathLike[str] | None = None) -> Path:
    """Return a path in a new temporary folder, with the own name of what is given."""
    name = os.path.basename(os.fspath(file_path_or_file_name or "").rstrip("/"))
    return Path(tempfile.mkdtemp(prefix="flyte-ray-")) / (name or uuid.uuid4().hex)


def get_random_local_directory() -> Path:
    """Make a temporary folder."""
    return Path(tempfile.mkdtemp(prefix="flyte-ray-"))


def get_configured_fsspec_kwargs(protocol: str | None = None, anonymous: bool = False) -> dict[str, Any]:
    """Return the fsspec arguments with which a kind of store is reached from here: those of `flyte.init(storage=)`.

    Args:
        protocol: Such as `s3`; None for the one that is configured.
        anonymous: Without credentials.

    """
    options = current_options()
    name = protocol_of(f"{protocol}://") if protocol else next(iter(options), "file")
    found = dict(options.get(name, {}))
    if anonymous and name in _KINDS:
        secrets = ("key", "secret", "token", "account_key", "client_secret")
        found = {key: value for key, value in found.items() if key not in secrets}
        return _KINDS[name]().get_fsspec_kwargs(anonymous=True, **found)
    return found


def get_underlying_filesystem(
    protocol: str | None = None, anonymous: bool = False, path: str | None = None, **kwargs: Any
) -> Any:
    """Return this process's fsspec file system for a protocol, or for that of a path.

    Raises:
        InvalidDeclaration: Neither is given, or nobody knows the protocol.

    """
    if protocol is None and path is None:
        raise InvalidDeclaration(
            "get_underlying_filesystem needs a protocol or a path, got neither. Give path='s3://…'."
        )
    name = protocol_of(f"{protocol}://" if protocol else str(path))
    return filesystem(name, {**get_configured_fsspec_kwargs(name, anonymous), **kwargs})


def _get(source: str, to_path: str | os.PathLike[str] | None, recursive: bool) -> str:
    options = current_options()
    target = os.fspath(to_path) if to_path is not None else os.fspath(get_random_local_path(source))
    if not recursive:
        if to_path is not None and (os.path.isdir(target) or target.endswith(os.sep)):
            target = os.path.join(target, os.path.basename(source))
        reading(source, partial(fetch_all, {source: target}, options))
        return target
    found = reading(source, lambda: list_files(source, options))
    if not found and reading(source, lambda: look_at(source, options)) is None:
        raise FileNotFoundError(f"There is no folder {source}.")
    start = source.rstrip("/") + "/"
    files = {file.uri: os.path.join(target, path_below(start, file.uri)) for file in found}
    os.makedirs(target, exist_ok=True)
    reading(source, lambda: fetch_all(files, options))
    return target


def _put(source: str, target: str, recursive: bool) -> None:
    if not recursive:
        if os.path.isdir(source):
            raise IsADirectoryError(f"A file was expected, got the folder {source!r}. Say recursive=True.")
        files = {target: source}
    else:
        top = target.rstrip("/")
        files = {f"{top}/{os.path.relpath(file.uri, source)}": file.uri for file in list_files(source, {})}
        if not os.path.isdir(source):
            raise FileNotFoundError(f"There is no folder {source!r} on this machine.")
    if not recursive and not os.path.exists(source):
        raise FileNotFoundError(f"There is no file {source!r} on this machine.")
    send_all(files, current_options())
