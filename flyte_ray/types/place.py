"""Tell values that are stored or loaded at the moment where their large parts lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from flyte_ray.types.signing import Pickling

T = TypeVar("T")
OWN_MARK: Final = "run:"
"""Begins the stored form of a path in the run's own place."""


class Blobs(Protocol):
    """Where values lie that are not JSON."""

    def put(self, data: bytes, suffix: str, name: str | None = None) -> str:
        """Store bytes and return their URI, relative to the run; under a name that says what they are, only once."""

    def put_written(self, write: Callable[[IO[bytes]], object], suffix: str, name: str | Callable[[], str]) -> str:
        """Store what a function writes to a file, once for each name; return its URI.

        A name that takes time may be given as what computes it: it is asked for beside the writing.
        """

    def local_path(self, uri: str) -> str | None:
        """Return where what was stored lies on this machine's disk, None if it does not."""

    def arrow_place(self, uri: str) -> tuple[str, Any]:
        """Return the path of a URI, and the `pyarrow.fs` file system that has it; both can be pickled."""

    def get(self, uri: str) -> bytes:
        """Read what `put` stored."""

    def put_path(self, path: str) -> tuple[str, str]:
        """Store a local file, or a folder with all its files, by content; return its URI and the content's hash."""

    def contents(self, uri: str) -> Mapping[str, tuple[str, int]] | None:
        """Return hash and size of the files of a folder that was stored by content, None for any other."""

    def relative(self, uri: str) -> str | None:
        """Return the URI relative to the run, None for what lies elsewhere."""

    def absolute(self, uri: str) -> str:
        """Return a URI that stands for itself."""

    def elsewhere(self, place: str) -> Blobs:
        """Return where another run's values lie."""

    def reading(self, uri: str, read: Callable[[], T]) -> T:
        """Read a file behind a URI; what lies in the run's place is asked for until the store answers."""

    def writing(self, uri: str) -> AbstractContextManager[IO[bytes]]:
        """Yield what a path or URL is written to; it appears when the block ends without an error."""

    def fresh(self, name: str) -> str:
        """Return the URL of a file that is in nobody's way, with an own name."""

    @property
    def pickling(self) -> Pickling:
        """How values are pickled that nothing else stores."""

    @property
    def options(self) -> Mapping[str, Mapping[str, Any]]:
        """The fsspec arguments by protocol with which URIs are read."""


_place: ContextVar[Blobs | None] = ContextVar("flyte_ray_place", default=None)


def current_place() -> Blobs | None:
    """Return where the value that is stored or loaded at the moment belongs; None outside of that."""
    return _place.get()


@contextmanager
def placed(blobs: Blobs) -> Iterator[None]:
    """Store or load values within a run."""
    token = _place.set(blobs)
    try:
        yield
    finally:
        _place.reset(token)
