"""What is known of one annotation: how its values are checked, stored and rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from flyte_ray.types.place import Blobs

Shape = Literal["null", "bool", "int", "float", "str", "list", "object", "mixed"]
"""What JSON a stored form is; `mixed` is any."""
_SHAPES: Final[dict[type, Shape]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    dict: "object",
}
NOTHING: Final[frozenset[type]] = frozenset()


class CannotStoreError(TypeError):
    """A value has no stored form, whatever its annotation; its text says what to do."""


class MismatchError(TypeError):
    """A value, or a part of it, is not what its annotation says."""

    def __init__(self, expected: str, given: object) -> None:
        """Say what was expected in the place of what."""
        super().__init__(expected)
        self.expected, self.given, self.where = expected, given, ""

    def at(self, step: str) -> MismatchError:
        """Add a step to the place, from the inside outwards."""
        self.where = step + self.where
        return self

    def __str__(self) -> str:
        place = f"at {self.where}: " if self.where else ""
        return f"{place}expected {self.expected}, got {show(self.given)}"


@dataclass(frozen=True)
class Form:
    """How values of one annotation are checked, stored and rebuilt."""

    name: str
    """The annotation, as people write it."""
    check: Callable[[Any], None]
    """Raises `MismatchError`."""
    dump: Callable[[Any, Blobs], Any]
    """Turns a checked value into something that `json` writes."""
    load: Callable[[Any, Blobs], Any]
    """Rebuilds the value from that."""
    shape: Shape = "mixed"
    classes: frozenset[type] = NOTHING
    """Values of exactly these classes are meant by the annotation, before all that could pass for it."""
    plain: frozenset[type] = NOTHING
    """Values of exactly these classes are right, and are their own stored form."""
    verbatim: bool = False
    """A stored form is the value itself."""
    told: bool = False
    """A stored form says itself what it is, so that it can be read without the annotation."""
    opaque: bool = False
    """The annotation says nothing of how to store a value: the value's own class does."""


Build = Callable[[Any], Form]
"""Finds the form of an annotation."""


def shape_of(raw: Any) -> Shape:
    """Tell what JSON a stored form is."""
    return _SHAPES.get(type(raw), "mixed")


def show(value: object) -> str:
    """Write a value into a message: its class, and how it begins."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # what a class does on being shown may fail in any way
        text = ""
    return f"{type(value).__name__} {text:.80}".rstrip()


def name_of(annotation: Any) -> str:
    """Write an annotation as people do."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
