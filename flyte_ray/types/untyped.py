"""Values of no annotation: stored by what they are themselves.

Invariants: a value comes back as of its class, or is refused; only what nothing else stores is pickled.
"""

from __future__ import annotations

import datetime as dt
import importlib
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final

from flyte_ray.types.arrays import load_array
from flyte_ray.types.datasets import load_dataset
from flyte_ray.types.form import Build, Form, MismatchError
from flyte_ray.types.marks import (
    ARROW_MARK,
    BYTES_MARK,
    CLASS_MARK,
    DATASET_MARK,
    DICT_MARK,
    FIELDS_MARK,
    FROZENSET_MARK,
    HASH_MARK,
    MARKS,
    MEMBER_MARK,
    NPY_MARK,
    OTHER_MARK,
    PICKLE_MARK,
    PLACE_MARK,
    SET_MARK,
    TORCH_MARK,
    TUPLE_MARK,
    write_sorted,
)
from flyte_ray.types.pickles import dump_pickle, load_pickle
from flyte_ray.types.place import Blobs
from flyte_ray.types.references import apart
from flyte_ray.types.scalars import dump_bytes, load_bytes
from flyte_ray.types.tables import load_table
from flyte_ray.types.tensors import dump_tensors, is_state, load_tensors

_PLAIN: Final[frozenset[type]] = frozenset({int, str, bool, float, type(None)})
_TOLD: Final[dict[str, Callable[[dict[str, Any], Blobs], Any]]] = {
    ARROW_MARK: load_table,
    NPY_MARK: load_array,
    TORCH_MARK: load_tensors,
    DATASET_MARK: load_dataset,
}
"""What says itself what it is."""
_WRAPPERS: Final = (MEMBER_MARK, PLACE_MARK, HASH_MARK)
_NOT_IMPORTED: Final = ("__main__", "__mp_main__", "builtins")


class Untyped:
    """Stores and rebuilds values of any class."""

    def __init__(self, build: Build) -> None:
        """Prepare; `build` finds the form of a class."""
        self._build = build

    def dump(self, value: Any, blobs: Blobs) -> Any:
        """Store a value with what tells its class.

        Raises:
            CannotStoreError: It cannot be stored.

        """
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is list:
            return self._dump_all(value, blobs)
        if issubclass(kind, dict) and is_state(value):
            return dump_tensors(value, blobs)
        if kind is dict:
            return self._dump_dict(value, blobs)
        if kind is tuple:
            return {TUPLE_MARK: self._dump_all(value, blobs)}
        if kind is set or kind is frozenset:
            mark = SET_MARK if kind is set else FROZENSET_MARK
            return {mark: sorted(self._dump_all(value, blobs), key=write_sorted)}
        if kind is bytes:
            raw = dump_bytes(value, blobs)
            return raw if isinstance(raw, dict) else {BYTES_MARK: raw}
        return self._dump_other(value, kind, blobs)

    def _dump_all(self, values: Any, blobs: Blobs) -> list[Any]:
        if _PLAIN.issuperset(map(type, values)):
            return list(values)
        return [self.dump(value, blobs) for value in values]

    def _dump_dict(self, value: dict[Any, Any], blobs: Blobs) -> Any:
        if all(type(key) is str for key in value) and MARKS.isdisjoint(value):
            return apart({key: self.dump(part, blobs) for key, part in value.items()})
        return {DICT_MARK: [[self.dump(key, blobs), self.dump(part, blobs)] for key, part in value.items()]}

    def _dump_other(self, value: Any, kind: type, blobs: Blobs) -> Any:
        form = self._build(kind)
        if form.opaque or not (form.told or _is_importable(kind)):
            return dump_pickle(value, blobs)
        try:
            form.check(value)
        except MismatchError:  # nobody has said that its fields are what they are annotated as
            return dump_pickle(value, blobs)
        raw = form.dump(value, blobs)
        if form.told:
            return raw
        if type(raw) is dict and (CLASS_MARK in raw or PICKLE_MARK in raw):
            return raw
        return {CLASS_MARK: _reference(kind), "value": raw}

    def load(self, raw: Any, blobs: Blobs) -> Any:
        """Rebuild a stored value; what an annotation alone would tell comes back as plain JSON."""
        if type(raw) is list:
            return [self.load(part, blobs) for part in raw]
        if type(raw) is not dict:
            return raw
        if MARKS.isdisjoint(raw):
            return {key: self.load(part, blobs) for key, part in raw.items()}
        return self._load_marked(raw, blobs)

    def _load_marked(self, raw: dict[str, Any], blobs: Blobs) -> Any:
        if PICKLE_MARK in raw:
            return load_pickle(raw, blobs)
        if CLASS_MARK in raw:
            return self._build(find_class(raw[CLASS_MARK])).load(raw["value"], blobs)
        if DICT_MARK in raw:
            return {self.load(key, blobs): self.load(part, blobs) for key, part in raw[DICT_MARK]}
        for mark, make in ((TUPLE_MARK, tuple), (SET_MARK, set), (FROZENSET_MARK, frozenset)):
            if mark in raw:
                return make(self.load(part, blobs) for part in raw[mark])
        if BYTES_MARK in raw:
            return load_bytes(raw if isinstance(raw[BYTES_MARK], dict) else raw[BYTES_MARK], blobs)
        if OTHER_MARK in raw:
            return self.load(raw[OTHER_MARK], blobs)
        if FIELDS_MARK in raw:
            return self.load(raw[FIELDS_MARK]["fields"], blobs)
        if any(mark in raw for mark in _WRAPPERS):
            return self.load(raw["value"], blobs)
        return next(load(raw, blobs) for mark, load in _TOLD.items() if mark in raw)


def untyped_form(build: Build) -> Form:
    """Describe `Any`."""
    untyped = Untyped(build)
    return Form("Any", lambda _: None, untyped.dump, untyped.load, plain=_PLAIN, opaque=True)


def opaque_form(cls: Any, name: str, build: Build) -> Form:
    """Describe a class of which nothing is known: its values are stored by what they are themselves."""
    untyped = build(Any)

    def check(value: Any) -> None:
        try:
            fits = isinstance(value, cls)
        except TypeError:  # a protocol that cannot be asked at run time
            fits = True
        if not fits:
            raise MismatchError(name, value)

    return Form(name, check, untyped.dump, untyped.load, classes=frozenset({cls}), opaque=True)


def _is_importable(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    if kind.__module__ in _NOT_IMPORTED or module is None or "<" in kind.__qualname__:
        return kind is complex or kind is bytearray
    found: Any = module
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is kind


def _reference(kind: type) -> str:
    home = "pathlib" if is_path(kind) else _HOMES.get(kind, kind.__module__)
    return f"{home}:{kind.__qualname__}"


_HOMES: Final[dict[type, str]] = {
    **dict.fromkeys((dt.datetime, dt.date, dt.time, dt.timedelta), "datetime"),
    uuid.UUID: "uuid",
    Decimal: "decimal",
}
"""Where a class of the standard library is found in every version of Python."""


def find_class(reference: str) -> Any:
    """Return a class that a record names.

    Raises:
        TypeError: There is no such class any more.

    """
    module, _, qualname = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise TypeError(
            f"A stored value is of the class {qualname} of module {module}, which is not there any more: {error}. Put"
            f" it back, or compute the value again."
        ) from error
    return found


def is_path(kind: Any) -> bool:
    """Tell a class of paths."""
    return isinstance(kind, type) and issubclass(kind, PurePath)
