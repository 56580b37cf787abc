"""Read, list and copy files and folders that a user names by path or URL.

Invariant: a file is either read as it is, or an error says in a sentence which one and why not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn, TypeVar, cast

from flyte_ray.errors import DeclarationError, StoreError
from flyte_ray.storage.filesystems import locate
from flyte_ray.storage.local import appearing, files_below, local_path
from flyte_ray.storage.providers import Options, protocol_of
from flyte_ray.storage.s3 import fetch_files, send_files
from flyte_ray.storage.trouble import explain, is_absence, is_missing_bucket, is_of_this_machine, told

T = TypeVar("T")
COPIES_AT_A_TIME: Final = 8
_MARKS: Final = ("ETag", "etag", "md5Hash", "content_md5", "VersionId", "mtime", "LastModified", "last_modified")
"""What file systems of fsspec call what changes with a file, the best first."""


@dataclass(frozen=True)
class Found:
    """A file or folder that is there."""

    uri: str
    size: int | None
    """Bytes; None for a folder, or where the server does not say."""
    mark: str
    """Changes when the content does; empty where nothing is known of that."""
    is_folder: bool = False


def open_uri(uri: str, mode: str, options: Options, **given: Any) -> IO[Any]:
    """Open for reading.

    Args:
        uri: A path or URL.
        mode: `rb`, `r` or `rt`.
        options: fsspec arguments by protocol.
        given: More for the `open` of a file system, such as `block_size` or `compression`.

    Raises:
        FileNotFoundError: There is no such file.

    """
    path = local_path(uri)
    if path is not None and not given.get("compression"):
        return _said(uri, lambda: open(path, mode, encoding=None if "b" in mode else "utf-8"))

    def opened() -> IO[Any]:
        fs, there = locate(uri, options)
        return cast("IO[Any]", fs.open(there, mode, **given))

    return _said(uri, opened)


def look_at(uri: str, options: Options) -> Found | None:
    """Say what lies there, None if nothing does."""
    path = local_path(uri)
    if path is not None:
        return _look_at_path(uri, path)

    def look() -> Found | None:
        fs, there = locate(uri, options)
        try:
            about = fs.info(there)
        except FileNotFoundError as error:
            if not is_absence(error):
                raise
            return None
        return _found(uri, about)

    return _said(uri, look)


def list_files(uri: str, options: Options, depth: int | None = None) -> list[Found]:
    """Return all files below a folder, sorted by their paths; none if it does not exist.

    Args:
        uri: The folder.
        options: fsspec arguments by protocol.
        depth: How many levels down: 1 for what lies in the folder itself; None for all.

    """
    path = local_path(uri)
    if path is not None:
        return _said(uri, lambda: _list_path(uri, path, depth))
    if protocol_of(uri) in ("http", "https"):
        raise StoreError(f"Cannot list {uri}: a web server has no folders. Name its files one by one.")

    def listed() -> list[Found]:
        fs, there = locate(uri, options)
        found = fs.find(there, maxdepth=depth, detail=True)
        files = {name: about for name, about in found.items() if about.get("type") != "directory"}
        # A "folder" that consoles make is an empty object with the folder's own name.
        files = {name: about for name, about in files.items() if not name.endswith("/") and name != there.rstrip("/")}
        top, start = uri.rstrip("/"), len(there.rstrip("/"))
        return [_found(f"{top}{name[start:]}", files[name]) for name in sorted(files)]

    return _said(uri, listed)


def path_below(folder: str, uri: str) -> str:
    """Return the path of a listed file in its folder.

    Raises:
        StoreError: It leads out of it, so that it must not be copied to a folder of this machine.

    """
    path = uri.removeprefix(folder)
    if ".." in path.split("/") or path.startswith("/"):
        raise StoreError(f"Cannot copy {uri}: its name leads out of the folder {folder}. Copy it alone, as a File.")
    return path


def send_all(files: Mapping[str, str], options: Options) -> None:
    """Write local files to paths or URLs of one kind of store, many side by side; each appears when it is whole.

    Args:
        files: Local path by URI.
        options: fsspec arguments by protocol.

    Raises:
        StoreError: One could not be written; others may have been.

    """
    if not files:
        return
    first = next(iter(files))
    if local_path(first) is not None:
        for uri, path in files.items():
            with appearing(cast("str", local_path(uri))) as temporary:
                shutil.copyfile(path, temporary)
        return
    fs, _ = locate(first, options)
    there = {fs._strip_protocol(uri): path for uri, path in files.items()}
    if protocol_of(first) == "s3":
        told("write", first, lambda: send_files(fs, there))
    else:
        told("write", first, lambda: fs.put(list(there.values()), list(there)))


def arrow_place(uri: str, options: Options) -> tuple[str, Any]:
    """Return what `pyarrow.fs` calls the place of a URI: a path, and a file system."""
    from pyarrow import fs as arrow  # a tenth of a second; only who has other libraries read or write there asks

    path = local_path(uri)
    if path is not None:
        return path, arrow.LocalFileSystem()
    fs, there = locate(uri, options)
    return there, arrow.PyFileSystem(arrow.FSSpecHandler(fs))


def fetch_all(files: Mapping[str, str], options: Options) -> tuple[str, ...]:
    """Copy files of one kind of store to local paths, whose folders are made; each appears when it is whole.

    Args:
        files: Local path by URI.
        options: fsspec arguments by protocol.

    Returns:
        The local paths.

    Raises:
        FileNotFoundError: One is not there; others may have been copied.

    """
    if not files:
        return ()
    first = next(iter(files))
    if protocol_of(first) == "s3":
        fs, _ = locate(first, options)
        _said(first, lambda: fetch_files(fs, {fs._strip_protocol(uri): path for uri, path in files.items()}))
        return tuple(files.values())
    with ThreadPoolExecutor(min(COPIES_AT_A_TIME, len(files)), "flyte-ray-fetch") as pool:
        for copy in [pool.submit(_copy, uri, target, options) for uri, target in files.items()]:
            copy.result()
    return tuple(files.values())


def _copy(uri: str, target: str, options: Options) -> None:
    path = local_path(uri)

    def copied() -> None:
        with appearing(target) as temporary:
            if path is not None:
                shutil.copyfile(path, temporary)
            else:
                fs, there = locate(uri, options)
                fs.get_file(there, temporary)

    _said(uri, copied)


def _look_at_path(uri: str, path: str) -> Found | None:
    try:
        about = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if os.path.isdir(path):
        return Found(uri, None, "", is_folder=True)
    return Found(uri, about.st_size, str(about.st_mtime_ns))


def _list_path(uri: str, path: str, depth: int | None) -> list[Found]:
    start = uri.removesuffix(path)
    near = [
        found for found in map(Path, files_below(path)) if depth is None or len(found.relative_to(path).parts) <= depth
    ]
    found = [_look_at_path(f"{start}{file}", os.fspath(file)) for file in sorted(near)]
    return [file for file in found if file is not None and not file.is_folder]


def _found(uri: str, about: Mapping[str, Any]) -> Found:
    if about.get("type") == "directory":
        return Found(uri, None, "", is_folder=True)
    mark = next((str(about[name]) for name in _MARKS if about.get(name)), "")
    return Found(uri, about.get("size"), mark.strip('"'))


def _said(uri: str, call: Callable[[], T]) -> T:
    """Call, and have errors of a client name what was asked for, as Python's own classes where there is one."""
    try:
        return call()
    except (StoreError, DeclarationError):
        raise
    except OSError as error:
        if is_of_this_machine(error) and not (
            isinstance(error, FileNotFoundError) and error.filename == local_path(uri)
        ):
            raise  # the other end of a copy
        _say(uri, error)
    except Exception as error:  # clients' errors have no base in common
        raise StoreError(f"Cannot read {uri}: {explain(uri, error)}.") from error


def _say(uri: str, error: OSError) -> NoReturn:
    if is_absence(error):
        raise FileNotFoundError(f"There is no file {uri}: it was never written, or has been deleted.") from error
    known = is_missing_bucket(error) or isinstance(error, PermissionError)
    raise (type(error) if known else StoreError)(f"Cannot read {uri}: {explain(uri, error)}.") from error
