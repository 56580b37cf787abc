"""Name the person on whose behalf this process acts, for the record."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_acting: Final[ContextVar[str]] = ContextVar("flyte_ray_user")


@contextmanager
def acting_for(name: str) -> Iterator[None]:
    """Act on behalf of somebody else in a block, as a server does for who asks it."""
    token = _acting.set(name)
    try:
        yield
    finally:
        _acting.reset(token)


def current_user() -> str:
    """Return `user@host`; the user's number where the system knows no name for it, as in some containers."""
    if name := _acting.get(""):
        return name
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
