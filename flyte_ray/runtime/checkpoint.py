"""Keep what an attempt saves for the next one of the same action.

Invariants: a saved checkpoint is complete or not there; what an attempt saves itself never hides from it what it was
handed; at most two are kept, the one handed over and the newest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.storage.files import fetch_all

_FILE: Final = "file"
_FOLDER: Final = "tar.gz"


class Checkpoint:
    """What one attempt of an action was handed, and what it saves. Mirrors `flyte.Checkpoint`."""

    def __init__(self, blobs: RunBlobs, action: str, attempt: int) -> None:
        """Keep checkpoints of an action; names sort by attempt and by time within it."""
        self._blobs, self._store = blobs, blobs.store
        self._prefix = f"{blobs.prefix}/checkpoints/{action}"
        # An attempt whose start was not stored has its number given again: the token tells the two apart.
        self._attempt, self._token = f"{attempt:08d}", uuid.uuid4().hex[:8]
        self._saves = 0
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """A local folder that lasts as long as the attempt, and holds what was loaded."""
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="flyte-ray-checkpoint-"))
            weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)
        return self._path

    @property
    def remote_source(self) -> str | None:
        """URI of what an earlier attempt saved; None if there is nothing."""
        key = self._previous()
        return f"{self._store.uri}/{key}" if key else None

    @property
    def remote_destination(self) -> str:
        """URI of the folder in which checkpoints of this action lie."""
        return f"{self._store.uri}/{self._prefix}"

    def prev_exists(self) -> bool:
        """Tell whether an earlier attempt saved something."""
        return self._previous() is not None

    def load_sync(self) -> Path | None:
        """Fetch what an earlier attempt saved last.

        Returns:
            The folder that was saved, or `payload` inside of one: the file or bytes. None if nothing was saved.

        """
        key = self._previous()
        if key is None:
            return None
        payload = self.path / "payload"
        if key.endswith(f".{_FILE}"):
            self._fetch(key, payload)
            return payload
        import tarfile  # with three compressions; only folders need it

        archive = self.path.with_name(f"{self.path.name}.{_FOLDER}")
        try:
            self._fetch(key, archive)
            with tarfile.open(archive) as tar:
                tar.extractall(self.path, filter="data")
        finally:
            archive.unlink(missing_ok=True)
        return self.path

    async def load(self) -> Path | None:
        """Fetch without blocking the loop; see `load_sync`."""
        return await asyncio.to_thread(self.load_sync)

    def save_sync(self, data: str | os.PathLike[str] | bytes) -> None:
        """Keep something for the next attempt, in place of what this one saved before.

        Args:
            data: Path of a file or folder, or bytes.

        Raises:
            FileNotFoundError: There is no such path.
            TypeError: It is neither a path nor bytes.

        """
        if isinstance(data, (bytes, bytearray, memoryview)):
            self._put(_FILE, lambda key: self._store.put(key, bytes(data)))
            return
        if not isinstance(data, (str, os.PathLike)):
            raise TypeError(f"A checkpoint is a path or bytes, got {type(data).__name__}. Write it to a file first.")
        path = Path(data)
        if not path.exists():
            raise FileNotFoundError(f"A checkpoint is a file or folder on this machine, got {path!s}: there is none.")
        if path.is_dir():
            import tarfile  # see load_sync

            with tempfile.TemporaryDirectory(prefix="flyte-ray-checkpoint-") as folder:
                archive = os.path.join(folder, "checkpoint")
                with tarfile.open(archive, "w:gz") as tar:
                    tar.add(path, arcname=".")
                self._put(_FOLDER, lambda key: self._store.put_file(key, archive))
        else:
            self._put(_FILE, lambda key: self._store.put_file(key, os.fspath(path)))

    async def save(self, data: str | os.PathLike[str] | bytes) -> None:
        """Keep without blocking the loop; see `save_sync`."""
        await asyncio.to_thread(self.save_sync, data)

    def _fetch(self, key: str, into: Path) -> None:
        uri = f"{self._store.uri}/{key}"
        self._blobs.reading(uri, lambda: fetch_all({uri: os.fspath(into)}, self._store.options))

    def _put(self, form: str, put: Callable[[str], Any]) -> None:
        handed = self._previous()
        self._saves += 1
        key = f"{self._prefix}/{self._attempt}-{self._saves:08d}-{self._token}.{form}"
        put(key)
        # Only now: a crash before leaves two, of which the newer counts.
        self._store.delete([old for old in self._store.keys(self._prefix) if old < key and old != handed])

    def _previous(self) -> str | None:
        found = [key for key in self._store.keys(self._prefix) if f"-{self._token}." not in key]
        return found[-1] if found else None


def latest_checkpoint(
    root: str | os.PathLike[str], glob_pattern: str = "**/last.ckpt", *, key: Callable[[Path], Any] | None = None
) -> Path | None:
    """Return the newest file below a folder, as trainers that write several want it. Source: `flyte.latest_checkpoint`.

    Args:
        root: The folder, or a file: that is returned.
        glob_pattern: Glob of the files in question.
        key: Orders them; by the time of the last change unless given.

    Returns:
        The file for which `key` is greatest, None if there is none.

    """
    top = Path(root)
    if top.is_file():
        return top
    return max(top.glob(glob_pattern), key=key or (lambda path: path.stat().st_mtime), default=None)
