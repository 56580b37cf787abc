"""What `File` and `Dir` have in common: a path that is stored with the value.

Invariants: what lies on this machine's disk is stored by content when a task's inputs or outputs are recorded, and
only then; what lies behind a URL is referred to.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

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

from flyte_ray.storage.files import has_uri
from flyte_ray.types.place import OWN_MARK, Blobs, current_place

T = TypeVar("T")


class Located(BaseModel):
    """Something at a path or URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    _kind: ClassVar[str] = "file"

    path: str
    """A local path, or a URL such as `s3://bucket/key`."""
    name: str | None = None
    """Its own name, without folders."""
    format: str = ""
    """What it holds, such as `csv`; not looked at."""
    hash: str | None = None
    """Stands for the content where values are compared."""
    _place: Blobs | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, raw: Any, info: ValidationInfo) -> Any:
        # A text is taken from JSON only, which is what the command line and a parameter file give.
        return {"path": _found(raw)} if isinstance(raw, str) and info.mode == "json" else raw

    def model_post_init(self, _: Any) -> None:
        """Turn what a record says into a path of this process."""
        place = current_place()
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
        if place is not None:
            own = place.put_path(self.path) if "://" not in self.path else place.relative(self.path)
            raw["path"] = self.path if own is None else f"{OWN_MARK}{own}"
        return raw

    @classmethod
    def from_local_sync(cls, local_path: str | os.PathLike[str]) -> Self:
        """Refer to what lies at a local path; it is stored when a task takes or returns it.

        Raises:
            FileNotFoundError: Nothing of the kind lies there.

        """
        text = os.path.abspath(os.path.expanduser(os.fspath(local_path)))
        if not (os.path.isdir(text) if cls._kind == "folder" else os.path.isfile(text)):
            raise FileNotFoundError(
                f"Expected a local {cls._kind}, got {os.fspath(local_path)!r}, where there is none."
            )
        return cls(path=text)

    @classmethod
    async def from_local(cls, local_path: str | os.PathLike[str]) -> Self:
        """Refer to what lies at a local path, see `from_local_sync`."""
        return cls.from_local_sync(local_path)

    @classmethod
    def from_existing_remote(cls, remote_path: str) -> Self:
        """Refer to what lies behind a URL, which stays where it is."""
        return cls(path=remote_path)

    async def exists(self) -> bool:
        """Tell whether it is there, without blocking the loop."""
        return await asyncio.to_thread(self.exists_sync)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the place behind: it holds the arguments of the store, which are never recorded."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {"_place": None}}

    @property
    def _options(self) -> dict[str, object]:
        return self._place.options(self.path) if self._place else {}

    def exists_sync(self) -> bool:
        """Tell whether it is there."""
        return self._reading(self.path, lambda: has_uri(self.path, self._options))

    def _reading(self, uri: str, read: Callable[[], T]) -> T:
        """Read something that lies there, which may take as long as the run's store is away."""
        return self._place.reading(uri, read) if self._place else read()


def _found(path: str | os.PathLike[str]) -> str:
    """Return a URL as it is, and a local path made absolute.

    Raises:
        ValueError: Nothing lies at the local path.

    """
    text = os.fspath(path)
    if "://" in text:
        return text
    if not os.path.exists(text):
        raise ValueError(f"there is no file or folder {text!r} here")
    return os.path.abspath(text)
