"""Keep a run's values that do not lie inline in its log."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.runtime.redaction import Look, looked, refuse
from flyte_ray.storage import Store, open_place
from flyte_ray.storage.files import arrow_place, fetch_all
from flyte_ray.storage.local import files_below, local_path
from flyte_ray.storage.nearby import Nearby
from flyte_ray.storage.patient import PatientStore
from flyte_ray.storage.providers import Options
from flyte_ray.storage.writing import writing, writing_to
from flyte_ray.types.hashing import CONTENT, folder_hash
from flyte_ray.types.signing import Pickling

T = TypeVar("T")
_log: Final = logging.getLogger("flyte_ray.runtime")
WORTH_ASKING: Final = 1 << 20
"""From so many bytes on it is asked first whether an object is there already."""
TRIES: Final = 3
"""How often a file is asked for that cannot be read from a store that answers."""
SETTLED_NS: Final = 2_000_000_000
"""A file that was changed longer ago than this cannot change without another time of change."""
CONTENTS: Final = ".contents.json"
"""Beside a folder that is stored by content lies this: paths, digests and sizes of its files."""
REMEMBERED: Final = 64
"""Files and folders of which it is known that they are stored."""
HASHERS: Final = 4
"""Files hashed at a time."""
_Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class RunBlobs:
    """Objects below a prefix; URIs are relative to it, so that a run can be copied as one."""

    root: Store
    store: Store
    prefix: str
    pickling: Pickling
    near: Nearby | None = field(default=None, compare=False, repr=False)
    """Copies on this machine of what lies elsewhere."""
    _known: dict[tuple[str, _Stamp], tuple[str, str]] = field(default_factory=dict, compare=False, repr=False)
    """What `put_path` answered for files that have not changed since."""

    def put(self, data: bytes, suffix: str, name: str | None = None) -> str:
        """Store bytes under a fresh name, or under one of their content."""
        refuse(data, "a value")
        uri = f"{name or uuid.uuid4().hex}{suffix}"
        key = f"{self.prefix}/{uri}"
        # To ask for a small one takes as long as to store it again.
        if name is None or len(data) < WORTH_ASKING or not self.store.exists(key):
            self.store.put(key, data)
        return uri

    def put_written(self, write: Callable[[IO[bytes]], object], suffix: str, name: str | Callable[[], str]) -> str:
        """Store what a function writes to a file under a name of its content, which may be told later."""
        give, write = write, lambda file: give(looked(file, "a value"))
        if not isinstance(name, str):
            late = name
            if local_path(self.store.uri) is not None:
                return self.store.put_named(self.prefix, write, lambda: f"{late()}{suffix}")
            name = late()
        uri = f"{name}{suffix}"
        key = f"{self.prefix}/{uri}"
        if not self.store.exists(key):
            if self.near is None:
                self.store.put_written(key, write)
            else:
                self.near.keep(uri, write, lambda path: self.store.put_file(key, path))
        return uri

    def local_path(self, uri: str) -> str | None:
        """Return the path of an object on this machine's disk, or of a copy there; None if it lies elsewhere.

        Raises:
            ObjectMissing: It is not there.

        """
        folder = local_path(self.store.uri)
        if folder is None:
            return self._nearby(uri, self.near) if self.near else None
        key = f"{self.prefix}/{uri}"
        if not self.store.exists(key):
            raise ObjectMissing(f"{self.store.uri}/{key}")
        return os.path.join(folder, key)

    def _nearby(self, uri: str, near: Nearby) -> str | None:
        there = self.absolute(uri)

        def fetch(path: str) -> None:
            self.reading(there, lambda: fetch_all({there: path}, self.options))

        return near.find(uri) or near.fetch(uri, fetch)

    def arrow_place(self, uri: str) -> tuple[str, Any]:
        """Return the path of a URI, and the `pyarrow.fs` file system that has it."""
        return arrow_place(self.absolute(uri), self.options)

    def get(self, uri: str) -> bytes:
        """Read bytes."""
        return self.store.get(f"{self.prefix}/{uri}")

    def put_path(self, path: str) -> tuple[str, str]:
        """Store a file or folder under the digest of its content and its own name.

        The same content always gets the same URI, so that a parent that runs again makes the same calls.

        Returns:
            The URI, and the hash of the content, of a folder without its own name.

        Raises:
            FileNotFoundError: There is no such path, or a link in a folder leads to nothing.
            OSError: It was changed while it was stored, is neither file nor folder, holds itself by a link, or has a
                name that is no UTF-8.

        """
        top = Path(path)
        if not top.exists():
            raise FileNotFoundError(f"there is no file or folder {path!r} on this machine. Correct the path.")
        parts = _parts(top)
        stamp = _stamp(parts)
        known = self._known.get((path, stamp))
        if known is not None:
            return known
        hashed_ns = time.time_ns()
        small = top.is_file() and stamp[0][2] < WORTH_ASKING
        found = self._put_small(top) if small else self._put_parts(top, parts, stamp)
        if all(changed_ns < hashed_ns - SETTLED_NS for _, _, _, changed_ns in stamp):
            self._remember(path, stamp, found)
        return found

    def _put_small(self, top: Path) -> tuple[str, str]:
        data = top.read_bytes()
        refuse(top.name, "the name of a file")
        refuse(data, f"the file {top.name}")
        digests = {top.name: hashlib.sha256(data).hexdigest()}
        uri = _uri_of(top, digests)
        self.store.put(f"{self.prefix}/{uri}", data)
        return uri, _content_hash(top, digests)

    def _put_parts(self, top: Path, parts: list[Path], stamp: _Stamp) -> tuple[str, str]:
        with ThreadPoolExecutor(HASHERS, "flyte-ray-hash") as pool:
            names = [part.relative_to(top.parent).as_posix() for part in parts]
            refuse("\n".join(names), "the name of a file")
            digests = dict(zip(names, pool.map(_digest, parts), strict=True))
        uri = _uri_of(top, digests)
        there = f"{self.prefix}/{uri.partition('/')[0]}"
        if not self.store.exists(f"{there}/{top.name if top.is_file() else CONTENTS}"):
            self._send(there, dict(zip(digests, parts, strict=True)), stamp)
            if top.is_dir():  # last: what it names is there
                self.store.put(f"{there}/{CONTENTS}", _contents(digests, stamp))
        return uri, _content_hash(top, digests)

    def _remember(self, path: str, stamp: _Stamp, found: tuple[str, str]) -> None:
        while len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)), None)
        self._known[path, stamp] = found

    def _send(self, there: str, parts: dict[str, Path], stamp: _Stamp) -> None:
        # Another attempt may have stored some of a folder's files.
        known = set(self.store.keys(there)) if len(parts) > 1 else set[str]()
        files = {f"{there}/{name}": os.fspath(part) for name, part in parts.items()}
        missing = {key: part for key, part in files.items() if key not in known}
        self.store.put_files(missing)
        if _stamp(list(parts.values())) != stamp:
            self.store.delete(list(missing))  # it does not hold what its name says
            what = os.path.commonpath(files.values())
            raise OSError(f"{what!r} was changed while it was stored. Pass it on when nobody writes to it.")

    def contents(self, uri: str) -> dict[str, tuple[str, int]] | None:
        """Return hash and size of each file of a folder that `put_path` has stored, by its path in the folder.

        None for any other folder.
        """
        digest, _, name = uri.partition("/")
        try:
            known = json.loads(self.store.get(f"{self.prefix}/{digest}/{CONTENTS}"))
        except ObjectMissing:
            return None
        start = f"{name}/"
        return {path.removeprefix(start): (f"{CONTENT}{sha}", size) for path, (sha, size) in known.items()}

    def fresh(self, name: str) -> str:
        """Return the URL of a file that is in nobody's way, with an own name."""
        return self.absolute(f"made/{uuid.uuid4().hex}/{name}")

    def relative(self, uri: str) -> str | None:
        """Return what `absolute` was given, None for what lies elsewhere."""
        base = f"{self.store.uri}/{self.prefix}/"
        return uri.removeprefix(base) if uri.startswith(base) else None

    def absolute(self, uri: str) -> str:
        """Return a URI that stands for itself."""
        return f"{self.store.uri}/{self.prefix}/{uri}"

    def elsewhere(self, place: str) -> RunBlobs:
        """Return where another run of this root has its values."""
        return blobs_at(self.root, place, self.pickling)

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

    def writing(self, uri: str) -> AbstractContextManager[IO[bytes]]:
        """Yield what a path or URL is written to; it appears when the block ends without an error."""
        own = self.relative(uri)
        return writing_to(uri, self.options) if own is None else writing(self.store, f"{self.prefix}/{own}")

    def close(self) -> None:
        """Let go of what is kept on this machine."""
        if self.near is not None:
            self.near.close()

    @property
    def options(self) -> Options:
        """The fsspec arguments by protocol of the root."""
        return self.store.options


def blobs_at(
    store: Store, place: str, pickling: Pickling, witness: str | None = None, *, near: bool = False
) -> RunBlobs:
    """Return the large values at a place; see `data_place` and `witness_of` in `ledger/paths.py`.

    Args:
        store: The root.
        place: Where they lie.
        pickling: How values are pickled.
        witness: What is known to lie there; without it they count as away.
        near: Keep copies on this machine if they lie elsewhere, until `close`.

    """
    base, prefix = open_place(store, place, witness)
    copies = _copies_of(f"{base.uri}/{prefix}") if near and local_path(base.uri) is None else None
    return RunBlobs(store, base, prefix, pickling, copies)


def _copies_of(place: str) -> Nearby | None:
    try:
        return Nearby(place)
    except OSError as error:
        _log.warning("no copies of what is stored can be kept on this machine: %s", error)
        return None


def _read(store: Store, key: str, read: Callable[[], T], failures: list[Exception]) -> T:
    try:
        found = read()
        if found is None or found is False or found == []:
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


def _parts(top: Path) -> list[Path]:
    """Return a file, or all files of a folder and of what links in it lead to, in the order of their names."""
    path = os.fspath(top)
    if not top.is_dir():
        if not top.is_file():
            raise OSError(f"{path!r} is neither a file nor a folder. Copy what it gives to a file.")
        parts = [top]
    else:
        parts = sorted(map(Path, files_below(path)))
    for part in parts:
        if not part.exists():
            raise FileNotFoundError(
                f"the link {os.fspath(part)!r} leads to nothing. Remove it, or put back what it names."
            )
        try:
            os.fspath(part.relative_to(top.parent)).encode()
        except UnicodeEncodeError as error:
            raise OSError(f"the name of {os.fspath(part)!r} is no UTF-8, as stores want names. Rename it.") from error
    return [part for part in parts if part.is_file()]


def _stamp(parts: list[Path]) -> _Stamp:
    stats = [(part, part.stat()) for part in parts]
    return tuple((os.fspath(part), about.st_ino, about.st_size, about.st_mtime_ns) for part, about in stats)


def _digest(path: Path) -> str:
    found, look = hashlib.sha256(), Look(f"the file {path.name}")
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            found.update(block)
            look.at(block)
    return found.hexdigest()


def _uri_of(top: Path, digests: dict[str, str]) -> str:
    return f"{hashlib.sha256(repr(list(digests.items())).encode()).hexdigest()[:32]}/{top.name}"


def _contents(digests: dict[str, str], stamp: _Stamp) -> bytes:
    sizes = (size for _, _, size, _ in stamp)
    return json.dumps({name: [sha, size] for (name, sha), size in zip(digests.items(), sizes, strict=True)}).encode()


def _content_hash(top: Path, digests: dict[str, str]) -> str:
    if not top.is_dir():
        return f"{CONTENT}{digests[top.name]}"
    return folder_hash({name.partition("/")[2]: digest for name, digest in digests.items()})
