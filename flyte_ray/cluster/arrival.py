"""Make this package importable in a process on a node that may lack it.

`package.py` sends this file's text with everything that starts a process of ours; it is executed there before anything
of ours is imported. The package lies in the cluster's key-value store under the digest of its content, so that a node
which has the same content uses its own, and every other one, also a container, unpacks it once.

Invariants: imports nothing but the standard library and Ray; a folder that exists under its digest is complete.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import os
import shlex
import shutil
import socket
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

NAME: Final = "flyte_ray"
KV_NAMESPACE: Final = b"flyte_ray"
_TRAVELS: Final = frozenset({".py", ".html", ".css", ".js", ".svg"})
"""Endings of the files that the package is made of."""
NEEDED: Final = {
    "aiohttp": "aiohttp>=3.9",
    "cloudpickle": "cloudpickle>=3",
    "cryptography": "cryptography>=42",
    "httptools": "httptools>=0.6",
    "pathspec": "pathspec>=0.12",
    "pyarrow": "pyarrow>=17",
    "pydantic": "pydantic>=2.7",
    "s3fs": "s3fs>=2024.6",
}
"""What our processes on nodes import, with the requirement to install it by."""


def arrive(digest: str) -> None:
    """Have `import flyte_ray` give the package with this digest.

    Raises:
        ImportError: The node lacks what the package needs; the message says how to install it. Or this process has
            imported another content of the package already.

    """
    if NAME in sys.modules:
        loaded = importlib.import_module(f"{NAME}.cluster.package")
        if loaded.own_digest() != digest:
            raise ImportError(
                f"A process has one {NAME}, but this one on node {_node()} has imported {loaded.__file__} already and"
                f" should now use another version. Start the run again."
            )
        return
    _require(NEEDED)
    installed = importlib.util.find_spec(NAME)
    if installed is not None and installed.origin and digest_of(Path(installed.origin).parent) == digest:
        return
    sys.path.insert(0, str(_unpack(digest)))
    importlib.invalidate_caches()


def digest_of(folder: Path) -> str:
    """Compute the digest of a package's Python files: their paths and contents."""
    total = hashlib.sha256()
    for path in files_of(folder):
        data = path.read_bytes()
        # Lengths in front, so that no two lists of files give the same stream of bytes.
        total.update(f"{path.relative_to(folder).as_posix()}:{len(data)}:".encode() + data)
    return total.hexdigest()


def files_of(folder: Path) -> list[Path]:
    """List a package's Python files and what its pages are made of, in the order of their paths."""
    found = [path for path in folder.rglob("*") if path.suffix in _TRAVELS and path.is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _require(needed: dict[str, str]) -> None:
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    if lacking:
        line = shlex.join([sys.executable, "-m", "pip", "install", *(needed[name] for name in lacking)])
        raise ImportError(
            f"flyte-ray needs {', '.join(needed)} in the Python of every node, but node {_node()} lacks"
            f" {', '.join(lacking)}. Run there: {line}"
        )


def _node() -> str:
    import ray  # the rest of this file also serves without it

    return f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"


def _unpack(digest: str) -> Path:
    """Return the folder below which the package lies, unpacked once per machine and user."""
    into = Path(tempfile.gettempdir()) / f"flyte-ray-package-{os.getuid()}"
    into.mkdir(mode=0o700, exist_ok=True)
    if into.stat().st_uid != os.getuid():
        raise ImportError(f"{into} should belong to the user {os.getuid()}, got {into.stat().st_uid}. Remove it.")
    target = into / digest
    if not target.is_dir():
        own = Path(tempfile.mkdtemp(dir=into))
        try:
            with zipfile.ZipFile(io.BytesIO(_fetch(digest))) as archive:
                archive.extractall(own)
            if digest_of(own / NAME) != digest:
                raise ImportError(
                    f"The package {NAME} should arrive on node {_node()} as {digest}, got other content. Was it"
                    f" changed while the process that sent it ran? Start that process again."
                )
            os.rename(own, target)
        except OSError:
            # Renaming onto a folder with files in it fails: another process was first, and its copy is complete.
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(own, ignore_errors=True)
    return target


def _fetch(digest: str) -> bytes:
    from ray.experimental.internal_kv import _internal_kv_get  # see _node

    data = _internal_kv_get(digest.encode(), namespace=KV_NAMESPACE)
    if not data:
        raise ImportError(
            f"The cluster should hold the package {NAME} as {digest} for node {_node()}, got nothing. Start the run"
            f" again."
        )
    return bytes(data)
