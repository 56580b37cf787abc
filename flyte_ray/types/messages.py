"""Protobuf messages, stored as the bytes that they define themselves."""

from __future__ import annotations

from typing import Any, Final

from flyte_ray.types.form import Form, MismatchError
from flyte_ray.types.place import Blobs
from flyte_ray.types.scalars import dump_bytes, load_bytes

_MESSAGE: Final = ("google.protobuf.message", "Message")


def is_message(cls: Any) -> bool:
    """Tell a class of messages without importing protobuf."""
    return isinstance(cls, type) and any((base.__module__, base.__name__) == _MESSAGE for base in cls.__mro__)


def message_form(cls: Any) -> Form:
    """Describe a class of messages."""

    def check(value: Any) -> None:
        if not isinstance(value, cls):
            raise MismatchError(cls.__name__, value)

    def dump(value: Any, blobs: Blobs) -> Any:
        # Maps are written in one order, so that equal messages have equal bytes.
        return dump_bytes(value.SerializeToString(deterministic=True), blobs)

    return Form(
        cls.__name__, check, dump, lambda raw, blobs: cls.FromString(load_bytes(raw, blobs)), classes=frozenset({cls})
    )
