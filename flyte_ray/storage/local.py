"""Files on this machine's disk: which URIs name them, and how they appear whole."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import Final

TEMPORARY: Final = ".writing-"
"""Begins the name of a file or folder that is not whole yet."""


class PathMismatch(ValueError):
    """What is named as a value does not lie there, or is of another kind."""


def local_path(uri: str) -> str | None:
    """Return the path of what lies on this machine's disk, None for other URLs."""
    if uri.startswith("file://"):
        return uri.removeprefix("file://")
    return None if "://" in uri else uri


def files_below(folder: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Yield the paths of all that lies below a folder and is none, also below those that links in it lead to.

    Args:
        folder: A path; nothing is yielded if there is none.
        above: Folders that it lies in, by device and inode.

    Raises:
        OSError: A link leads to a folder that it lies in, or one cannot be read.

    """
    try:
        about = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
        return
    own = about.st_dev, about.st_ino
    if own in above:
        raise OSError(f"the link {folder!r} leads to a folder that it lies in. Remove it.")
    for entry in entries:
        if entry.is_dir():
            yield from files_below(entry.path, above | {own})
        else:
            yield entry.path


@contextlib.contextmanager
def appearing(target: str) -> Iterator[str]:
    """Yield a path beside a local one, which takes its place at the end, or goes if that is an error."""
    folder = os.path.dirname(os.path.abspath(target))
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f"{TEMPORARY}{uuid.uuid4().hex}")  # without its name, which may be of any length
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            raise type(error)(error.errno, error.strerror, target) from error
        raise
