"""Files on this machine's disk: which URIs name them, and how they appear whole."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import Final

TEMPORARY: Final = ".writing-"
"""Begins the name of a file or folder that is not whole yet."""


def local_path(uri: str) -> str | None:
    """Return the path of what lies on this machine's disk, None for other URLs."""
    if uri.startswith("file://"):
        return uri.removeprefix("file://")
    return None if "://" in uri else uri


@contextlib.contextmanager
def appearing(target: str) -> Iterator[str]:
    """Yield a path beside a local one, which takes its place at the end, or goes if that is an error."""
    folder, name = os.path.split(os.path.abspath(target))
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f"{TEMPORARY}{uuid.uuid4().hex}-{name}"[:250])
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
