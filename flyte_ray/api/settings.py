"""Hold what `flyte.init` set for this process, and find the root and the cluster that apply."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_ray.storage import Store, open_store

DEFAULT_ROOT: Final = "~/.flyte-ray"
logger: Final = logging.getLogger("flyte_ray")


@dataclass
class Settings:
    """What `init` was given last."""

    root: str | os.PathLike[str] | None = None
    address: str | None = None
    storage: dict[str, Any] = field(default_factory=dict)
    root_dir: str | None = None


settings = Settings()


def init(
    root: str | os.PathLike[str] | None = None,
    address: str | None = None,
    storage: dict[str, Any] | None = None,
    root_dir: str | os.PathLike[str] | None = None,
    log_level: int | str | None = None,
) -> None:
    """Set where this process's runs are recorded and where they run.

    Args:
        root: Where the record lies: a path or `s3://…`; default `FLYTE_RAY_ROOT`, else `~/.flyte-ray`.
        address: The Ray cluster to run on; default the Ray this process is connected to, else `RAY_ADDRESS`, else
            local mode. Nothing is connected before the first run.
        storage: fsspec arguments for the root, such as `endpoint_url`; they reach the cluster and are never recorded.
        root_dir: The project's folder: its code travels, and its modules are imported from there (`pkg.flows` for
            `pkg/flows.py`, so that `from . import other` works in it). Default: found from the task's file, the nearest
            folder above with a `pyproject.toml` or a `.git`.
        log_level: Level of the logger `flyte_ray`.

    """
    settings.root, settings.address, settings.storage = root, address, dict(storage or {})
    settings.root_dir = os.path.abspath(root_dir) if root_dir is not None else None
    if log_level is not None:
        logger.setLevel(log_level)


def current_store() -> Store:
    """Open the root that applies: `init`, `FLYTE_RAY_ROOT`, `~/.flyte-ray`."""
    return open_store(settings.root or os.environ.get("FLYTE_RAY_ROOT") or DEFAULT_ROOT, settings.storage)
