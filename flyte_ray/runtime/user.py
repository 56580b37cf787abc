"""Name the person on whose behalf this process acts, for the record."""

from __future__ import annotations

import getpass
import os
import socket


def current_user() -> str:
    """Return `user@host`; the user's number where the system knows no name for it, as in some containers."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
