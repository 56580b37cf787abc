"""Send this package to the cluster, whose nodes may lack it or have another version.

Invariant: a root's actors and slots have one content, that of who made the actors, because they speak with each other.
"""

from __future__ import annotations

import inspect
import io
import zipfile
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flyte_ray.cluster import arrival
from flyte_ray.spec.version import VERSION

PACKAGE: Final = Path(__file__).parents[1]


@lru_cache(maxsize=1)
def own_digest() -> str:
    """Return the digest of the package that this process runs."""
    return arrival.digest_of(PACKAGE)


def own_version() -> str:
    """Return the package's number and the beginning of its digest, for people."""
    return f"{VERSION} ({own_digest()[:8]})"


def send_package() -> str:
    """Store this process's package on the connected cluster, unless it is there.

    Returns:
        A program, for `exec`, that makes the package importable where it runs; see `arrival.py`.

    """
    from ray.experimental.internal_kv import (  # half a second; only what runs on Ray pays it
        _internal_kv_exists,
        _internal_kv_put,
    )

    key = own_digest().encode()
    if not _internal_kv_exists(key, namespace=arrival.KV_NAMESPACE):
        _internal_kv_put(key, _pack(), namespace=arrival.KV_NAMESPACE)
    return f"{Path(arrival.__file__).read_text()}\n\narrive({own_digest()!r})\n"


def _pack() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        write_package(archive)
    return target.getvalue()


def write_package(archive: zipfile.ZipFile, folder: str = "") -> None:
    """Write this process's package into a zip, below a folder there; the same content gives the same bytes."""
    for path in arrival.files_of(PACKAGE):
        name = Path(folder, path.relative_to(PACKAGE.parent)).as_posix()
        archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)


def arriving(module: str, name: str) -> Callable[..., Any]:
    """Return a function for Ray that takes the program of `send_package` and then the arguments of one of ours.

    Ray pickles functions and classes of modules by reference, for which the node would need the package first; what is
    made inside a function it pickles by value.
    """

    def start(program: str, *args: Any) -> Any:
        import importlib

        exec(program, {"__name__": "flyte_ray_arrival"})
        return getattr(importlib.import_module(module), name)(*args)

    return start


def arriving_actor(actor: type) -> type:
    """Return a class for Ray whose constructor takes the program of `send_package` and then the arguments of `actor`.

    It has the async methods of `actor`, which it hands on.
    """
    module, name = actor.__module__, actor.__name__

    class Arriving:
        def __init__(self, program: str, *args: Any) -> None:
            import importlib

            exec(program, {"__name__": "flyte_ray_arrival"})
            self.inner = getattr(importlib.import_module(module), name)(*args)

    for method, _ in inspect.getmembers(actor, inspect.iscoroutinefunction):
        if not method.startswith("_"):
            setattr(Arriving, method, _handing_on(method))
    Arriving.__name__ = Arriving.__qualname__ = name
    return Arriving


def _handing_on(method: str) -> Callable[..., Awaitable[Any]]:
    async def hand_on(self: Any, *args: Any) -> Any:
        return await getattr(self.inner, method)(*args)

    hand_on.__name__ = method
    return hand_on
