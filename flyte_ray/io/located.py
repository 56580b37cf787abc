"""What `File` and `Dir` have in common: a path that is stored with the value, and a hash that stands for the content.

Invariants: what lies on this machine's disk is stored by content when a task's inputs or outputs are recorded, and only
then; what lies behind a URL is referred to; a recorded file is never written to again.
"""

from __future__ import annotations

import asyncio
import html
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from flyte_ray.errors import StoreError
from flyte_ray.storage.files import Found, look_at
from flyte_ray.storage.local import PathMismatch, local_path
from flyte_ray.storage.providers import ELSEWHERE, Options, protocol_of
from flyte_ray.storage.working import Place, current_options, working_place
from flyte_ray.types.hashing import SEEN
from flyte_ray.types.place import OWN_MARK, Blobs, current_place
from flyte_ray.types.references import is_by_content

T = TypeVar("T")
_log: Final = logging.getLogger("flyte_ray.store")


FROM_OUTSIDE: Final = "flyte_ray.from_outside"
"""Key of pydantic's validation context that says: nothing of this machine's disk may be named or looked for."""


class Located(BaseModel):
    """Something at a path or URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lies_beside_the_log: ClassVar[bool] = True
    """To store one takes time."""
    _kind: ClassVar[str] = "file"

    path: str
    """A local path, or a URL such as `s3://bucket/key`."""
    name: str | None = None
    """Its own name, without folders."""
    format: str = ""
    """What it holds, such as `csv`; not looked at."""
    hash: str | None = None
    """Stands for the content where values are compared, by calls that are made again and by the cache."""
    _place: Place | None = PrivateAttr(default=None)
    """The run that it was loaded from."""
    _recorded: bool = PrivateAttr(default=False)

    def _repr_html_(self) -> str:
        path = html.escape(self.path)
        is_page = self.path.startswith(("http://", "https://"))
        shown = f'<a href="{path}" rel="noopener">{path}</a>' if is_page else f"<code>{path}</code>"
        return f"{self._kind} {' '.join(html.escape(part) for part in (self.name, self.format) if part)} {shown}"

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: Any, info: ValidationInfo) -> Any:
        # A text is taken from JSON only, which is what the command line and a parameter file give.
        if isinstance(raw, str) and _is_from_outside(info.context):
            return {"path": raw}
        return {"path": cls._named_by_text(raw)} if isinstance(raw, str) and info.mode == "json" else raw

    def model_post_init(self, context: Any) -> None:
        """Turn what a record says into a path of this process.

        Raises:
            ValueError: It was sent from outside and is no URL of a store or of the web.

        """
        if _is_from_outside(context) and protocol_of(self.path) not in ELSEWHERE:
            raise ValueError(f"a {self._kind} must be named by a URL such as s3://…, got {self.path!r:.80}")
        place = current_place()
        self._recorded = place is not None
        self._place = place
        if place is not None and self.path.startswith(OWN_MARK):
            object.__setattr__(self, "path", place.absolute(self.path.removeprefix(OWN_MARK)))
        if self.name is None:
            object.__setattr__(self, "name", os.path.basename(self.path.rstrip("/")) or None)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show where it lies, and what else was said of it."""
        yield "path", self.path
        yield from ((key, value) for key in ("format", "hash") if (value := getattr(self, key)))

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        place = current_place()
        raw: dict[str, Any] = write(self)
        if place is None:
            return raw
        if "://" in self.path:
            own = place.relative(self.path)
            path = self.path if own is None else f"{OWN_MARK}{own}"
            # What we have named by its content need not be looked at.
            is_known = self.hash is not None or is_by_content(path)
            return {**raw, "path": path, "hash": self.hash if is_known else self._stamp()}
        return {**raw, **self._store(place)}

    def _store(self, place: Blobs) -> dict[str, str]:
        """Store what lies at the local path; returns the recorded path and hash."""
        self._check_kind(os.path.isdir(self.path), self.path)
        uri, content = place.put_path(self.path)
        return {"path": f"{OWN_MARK}{uri}", "hash": self.hash or content}

    def _stamp(self) -> str | None:
        """Look at what is referred to: its size, and what its server changes with its content."""
        raise NotImplementedError

    def _look(self, look: Callable[[], T]) -> T | None:
        """Look at what is referred to; None if this process may not, or cannot, as a laptop beside a cluster."""
        try:
            return self._reading(self.path, look)
        except (PermissionError, StoreError) as error:
            _log.warning("%s is told from others by its path alone: %s", self.path, error)
            return None

    def _look_there(self, missing: str) -> Found | None:
        """Say what lies there, None as `_look`; raises `FileNotFoundError` with a text where nothing does."""
        found = self._look(lambda: (look_at(self.path, self._options),))
        if found == (None,):
            raise FileNotFoundError(missing)
        return found[0] if found else None

    @classmethod
    def _check_kind(cls, is_folder: bool, path: str) -> None:
        if is_folder and cls._kind == "file":
            raise IsADirectoryError(f"a file was expected, got the folder {path!r}. Take flyte.io.Dir for folders.")
        if not is_folder and cls._kind == "folder" and os.path.isfile(local_path(path) or ""):
            raise NotADirectoryError(f"a folder was expected, got the file {path!r}. Take flyte.io.File for files.")

    @classmethod
    def _check_local(cls, local_path: str | os.PathLike[str]) -> str:
        """Return a local path made absolute.

        Raises:
            FileNotFoundError: Nothing lies there.
            IsADirectoryError: A folder lies there, for a file.
            NotADirectoryError: A file lies there, for a folder.

        """
        text = os.path.abspath(os.path.expanduser(os.fspath(local_path)))
        if not os.path.exists(text):
            raise FileNotFoundError(
                f"Expected a local {cls._kind}, got {os.fspath(local_path)!r}, where there is none."
            )
        cls._check_kind(os.path.isdir(text), text)
        return text

    @classmethod
    def _named_by_text(cls, path: str) -> str:
        """Return a URL as it is, and a local path made absolute.

        Raises:
            PathMismatch: Nothing of the kind lies at the local path.

        """
        if "://" in path:
            return path
        if not os.path.exists(path):
            raise PathMismatch(
                f"a {cls._kind} was expected, got {path!r}, where nothing lies. Give a path on this machine, or a URL."
            )
        try:
            cls._check_kind(os.path.isdir(path), path)
        except OSError as error:
            raise PathMismatch(str(error)) from error
        return os.path.abspath(path)

    @classmethod
    def _refer(cls, remote_path: str, key: str | None) -> Self:
        if not isinstance(remote_path, str) or "://" not in remote_path:
            raise ValueError(
                f"{cls.__name__}.from_existing_remote expects a URL such as 's3://bucket/key', got {remote_path!r}."
                f" Take from_local for what lies on this machine."
            )
        return cls(path=remote_path, hash=key)

    async def exists(self) -> bool:
        """Tell whether it is there, without blocking the loop."""
        return await asyncio.to_thread(self.exists_sync)

    def exists_sync(self) -> bool:
        """Tell whether it is there."""
        return self._reading(self.path, lambda: look_at(self.path, self._options)) is not None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the place behind: it holds the arguments of the store, which are never recorded."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {"_place": None, "_recorded": self._recorded}}

    @property
    def _here(self) -> Place | None:
        """The run that it was loaded from, else the one whose code uses it."""
        return self._place if self._place is not None else working_place()

    @property
    def _options(self) -> Options:
        here = self._here
        return here.options if here is not None else current_options()

    def _reading(self, uri: str, read: Callable[[], T]) -> T:
        """Read something that lies there, which may take as long as the run's store is away."""
        here = self._here
        return here.reading(uri, read) if here is not None else read()

    def _own(self) -> str | None:
        """Return the path below the run's place, None if it lies elsewhere."""
        here = self._here
        return here.relative(self.path) if here is not None else None


def seen(size: int | None, mark: str) -> str | None:
    """Write what was seen of a file as a hash; None if that tells nothing."""
    return f"{SEEN}{size}:{mark}" if mark else None


def _is_from_outside(context: Any) -> bool:
    return isinstance(context, dict) and bool(context.get(FROM_OUTSIDE))
