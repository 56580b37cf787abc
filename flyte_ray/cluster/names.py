"""Name what this package keeps on a cluster, so that every client of one root finds the same actors."""

from __future__ import annotations

import hashlib
from typing import Final

NAMESPACE: Final = "flyte_ray"
PROTOCOL: Final = 2
"""Version of messages between client, ledger and slots; two protocols run side by side."""
PROJECT: Final = "project"
"""The folder, below the one in which a job of ours begins, that holds the user's files."""


def ledger_name(root: str) -> str:
    """The ledger actor of a root."""
    return f"ledger-{_digest(root)}-p{PROTOCOL}"


def launcher_name(root: str) -> str:
    """The launcher actor of a root."""
    return f"launcher-{_digest(root)}-p{PROTOCOL}"


def _digest(root: str) -> str:
    return hashlib.sha256(root.encode()).hexdigest()[:16]
