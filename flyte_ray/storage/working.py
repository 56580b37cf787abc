"""Know where the code that runs here may keep files, and how it reaches stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import IO, Final, NamedTuple, Protocol, TypeVar

from flyte_ray.errors import NotInTaskContextError
from flyte_ray.storage.providers import Options, options_of
from flyte_ray.storage.writing import writing_to

T = TypeVar("T")


class Place(Protocol):
    """Where a run keeps what does not lie in its log."""

    @property
    def options(self) -> Options:
        """The fsspec arguments by protocol of the run's root."""

    def fresh(self, name: str) -> str:
        """Return the URL of a file that is in nobody's way, with an own name."""

    def absolute(self, uri: str) -> str:
        """Return the URL of a URI that is relative to the place."""

    def relative(self, uri: str) -> str | None:
        """Return what `absolute` was given, None for what lies elsewhere."""

    def contents(self, uri: str) -> Mapping[str, tuple[str, int]] | None:
        """Return hash and size of the files of a folder that was stored by content, None for any other."""

    def reading(self, uri: str, read: Callable[[], T]) -> T:
        """Read a file behind a URL; what lies in this place is asked for until the store answers."""

    def writing(self, uri: str) -> AbstractContextManager[IO[bytes]]:
        """Yield what a path or URL is written to; it appears when the block ends without an error."""


class Working(NamedTuple):
    """Where code runs."""

    place: Place
    action: str


ROOT_VAR: Final = "FLYTE_RAY_ROOT"
"""Variable that names the root; slots and replicas have it, for the code that runs in them."""
_working: Final[ContextVar[Working | None]] = ContextVar("flyte_ray_working", default=None)
_configured: Options | None = None


def work_in(place: Place, action: str) -> None:
    """Say to which run and action the code belongs that runs here from now on."""
    _working.set(Working(place, action))


def configure(options: Options) -> None:
    """Set how code outside of tasks reaches stores."""
    global _configured
    _configured = options


def working_place() -> Place | None:
    """Return where the code that runs here keeps its files; None outside of a task."""
    working = _working.get()
    return working.place if working else None


def require_working(what: str) -> Working:
    """Return where the code runs that calls this.

    Raises:
        NotInTaskContextError: It runs outside of a task.

    """
    working = _working.get()
    if working is None:
        raise NotInTaskContextError(
            "NotInTaskContext",
            f"{what} makes a file of the run whose task calls it, and was called outside of a task. Name a path there.",
        )
    return working


def writing(uri: str) -> AbstractContextManager[IO[bytes]]:
    """Yield what a path or URL is written to; it appears when the block ends without an error."""
    place = working_place()
    return place.writing(uri) if place is not None else writing_to(uri, current_options())


def reading(uri: str, read: Callable[[], T]) -> T:
    """Read something behind a path or URL, which may take as long as the run's store is away."""
    place = working_place()
    return place.reading(uri, read) if place is not None else read()


def current_options() -> Options:
    """Return the fsspec arguments by protocol for the code that runs here."""
    place = working_place()
    if place is not None:
        return place.options
    return options_of(None, "") if _configured is None else _configured
