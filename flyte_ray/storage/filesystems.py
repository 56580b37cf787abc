"""Give each process its own fsspec file systems, set up for workers.

Invariants: no instance crosses a fork, a pickle or an event loop of the user's: all run on fsspec's own; listings are
never answered from a cache; other credentials in the environment make another instance.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.storage.providers import DEBUG, Options, protocol_of

CONNECTIONS: Final = 64
"""Requests under way at a time, per process and store."""
PART: Final = 16 << 20
"""Bytes of one request for a part of a large object."""
_S3_DEFAULTS: Final[Mapping[str, Any]] = {
    "default_block_size": PART,
    "max_concurrency": 8,
    "config_kwargs": {
        # Of answers like 503 and of timeouts; s3fs repeats what this gives up, and we what s3fs gives up.
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "max_pool_connections": CONNECTIONS,
    },
}
_PACKAGES: Final = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs", "http": "aiohttp", "https": "aiohttp"}
_PATHS_ALONE: Final = ("s3", "gs", "http", "https", "file", "memory")
"""Their URLs say nothing of how they are reached."""
_made: dict[tuple[Any, ...], Any] = {}
_lock: Final = threading.Lock()


def filesystem(protocol: str, given: Mapping[str, Any]) -> Any:
    """Return this process's file system for a protocol.

    Args:
        protocol: As `protocol_of` names it.
        given: fsspec arguments; they win over our defaults.

    Raises:
        InvalidDeclaration: Nobody knows the protocol, or the package for it is not installed.

    """
    environ = tuple(sorted(item for item in os.environ.items() if item[0].startswith(("AWS_", "AZURE_", "GOOGLE_"))))
    key = os.getpid(), protocol, repr(sorted(given.items())), environ
    with _lock:
        found = _made.get(key)
        if found is None:
            # One of a parent process stays where it is: to end it here would touch the parent's connections.
            found = _made[key] = _make(protocol, given)
        return found


def locate(uri: str, options: Options) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    protocol = protocol_of(uri)
    found = filesystem(protocol, {**_told_by(protocol, uri), **options.get(protocol, {})})
    return found, found._strip_protocol(uri)


def _told_by(protocol: str, uri: str) -> dict[str, Any]:
    """Return the arguments that stand in a URL, such as the host of `ftp://host/path`."""
    if protocol in _PATHS_ALONE:
        return {}
    import fsspec  # see _make

    try:
        kind: Any = fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError):
        return {}  # who makes one says so
    return dict(kind._get_kwargs_from_urls(uri))


def _make(protocol: str, given: Mapping[str, Any]) -> Any:
    import fsspec  # half a second with s3fs

    arguments: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True, **given}
    if arguments.pop(DEBUG, False):
        _have_logged(_PACKAGES.get(protocol, "fsspec"))
    if protocol == "s3":
        config = {**_S3_DEFAULTS["config_kwargs"], **given.get("config_kwargs", {})}
        arguments = {**_S3_DEFAULTS, **arguments, "config_kwargs": config}
    try:
        return fsspec.filesystem(protocol, **arguments)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        line = f"Run 'pip install {package}' here and on the nodes." if package else str(error)
        raise InvalidDeclaration(f"{protocol}:// needs a package that is not installed. {line}") from error
    except ValueError as error:
        if "rotocol" not in str(error):
            raise
        raise InvalidDeclaration(
            f"A path or a URL of a kind that fsspec knows was expected, got '{protocol}://…'. Write for example"
            f" 's3://bucket/key'."
        ) from error


def _have_logged(package: str) -> None:
    client = logging.getLogger(package)
    client.setLevel(logging.DEBUG)
    if not client.hasHandlers():
        client.addHandler(logging.StreamHandler())
