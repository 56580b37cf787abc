"""Keep a run's values that do not lie inline in its log."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from flyte_ray.errors import StoreError
from flyte_ray.storage import Store, open_place
from flyte_ray.storage.patient import PatientStore

T = TypeVar("T")
WORTH_ASKING: Final = 1 << 20
"""From so many bytes on it is asked first whether an object is there already."""
TRIES: Final = 3
"""How often a file is asked for that cannot be read from a store that answers."""


@dataclass(frozen=True)
class RunBlobs:
    """Objects below a prefix; URIs are relative to it, so that a run can be copied as one."""

    root: Store
    store: Store
    prefix: str

    def put(self, data: bytes, suffix: str, name: str | None = None) -> str:
        """Store bytes under a fresh name, or under one of their content."""
        uri = f"{name or uuid.uuid4().hex}{suffix}"
        key = f"{self.prefix}/{uri}"
        # To ask for a small one takes as long as to store it again.
        if name is None or len(data) < WORTH_ASKING or not self.store.exists(key):
            self.store.put(key, data)
        return uri

    def get(self, uri: str) -> bytes:
        """Read bytes."""
        return self.store.get(f"{self.prefix}/{uri}")

    def put_path(self, path: str) -> str:
        """Store a file or folder under the digest of its content and its own name.

        The same content always gets the same URI, so that a parent that runs again makes the same calls.

        Raises:
            FileNotFoundError: There is no such path.

        """
        top = Path(path)
        if not top.exists():
            raise FileNotFoundError(f"there is no file or folder {path!r} on this machine")
        parts = sorted(part for part in top.rglob("*") if part.is_file()) if top.is_dir() else [top]
        digests = [(part.relative_to(top.parent).as_posix(), _digest(part)) for part in parts]
        uri = f"{hashlib.sha256(repr(digests).encode()).hexdigest()[:32]}/{top.name}"
        for part, (name, _) in zip(parts, digests, strict=True):
            key = f"{self.prefix}/{uri.partition('/')[0]}/{name}"
            if not self.store.exists(key):
                self.store.put_file(key, os.fspath(part))
        return uri

    def relative(self, uri: str) -> str | None:
        """Return what `absolute` was given, None for what lies elsewhere."""
        base = f"{self.store.uri}/{self.prefix}/"
        return uri.removeprefix(base) if uri.startswith(base) else None

    def absolute(self, uri: str) -> str:
        """Return a URI that stands for itself."""
        return f"{self.store.uri}/{self.prefix}/{uri}"

    def elsewhere(self, place: str) -> RunBlobs:
        """Return where another run of this root has its values."""
        return blobs_at(self.root, place)

    def reading(self, uri: str, read: Callable[[], T]) -> T:
        """Read a file behind a URI; if it lies in this place, it is asked for until the store answers.

        Args:
            uri: Where it lies.
            read: Reads, any number of times; what it raises `TRIES` times while the store answers is its own matter.

        """
        own = self.relative(uri)
        if own is None or not isinstance(self.store, PatientStore):
            return read()
        store, key = self.store.store, f"{self.prefix}/{own}"
        failures: list[Exception] = []
        return self.store.patience.ask(lambda: _read(store, key, read, failures))

    def options(self, uri: str) -> dict[str, object]:
        """Return the root's fsspec arguments for what lies behind the same protocol."""
        same = uri.partition("://")[0] == self.store.uri.partition("://")[0]
        return dict(self.store.options) if same else {}


def blobs_at(store: Store, place: str) -> RunBlobs:
    """Return the large values at a place; see `ledger.paths.data_place`."""
    base, prefix = open_place(store, place)
    return RunBlobs(store, base, prefix)


def _read(store: Store, key: str, read: Callable[[], T], failures: list[Exception]) -> T:
    try:
        found = read()
        if found is False or found == []:
            store.exists(key)  # a store that is away looks empty to who reads without it, and says so here
        return found
    except FileNotFoundError:
        store.exists(key)
        raise
    except StoreError:
        raise
    except Exception as error:
        # Libraries of stores have no error in common, and a copy may fail at its other end: the store tells.
        store.exists(key)
        failures.append(error)
        if len(failures) >= TRIES:
            raise
        raise StoreError(f"Cannot read {store.uri}/{key}: {type(error).__name__}: {error}") from error


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
