"""Lists, tuples, sets and dicts of anything that has a form.

What is plain is looked at all at once, and is its own stored form, so that a list of a million numbers costs what
`json` costs.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from flyte_ray.types.form import Build, Form, MismatchError
from flyte_ray.types.marks import DICT_MARK, MARKS, ORDER, TORCH_MARK, write, write_sorted
from flyte_ray.types.place import Blobs
from flyte_ray.types.references import apart
from flyte_ray.types.scalars import kept_subclass
from flyte_ray.types.tensors import dump_tensors, is_state, load_tensors

_KEYS: Final = ("bool", "int", "float", "null")
"""Shapes of keys that JSON can only write as text."""


def all_plain(values: Iterable[Any], item: Form) -> bool:
    """Tell whether all values are their own stored form."""
    return bool(item.plain) and item.plain.issuperset(map(type, values))


def check_each(values: Iterable[Any], item: Form) -> None:
    """Check the elements of a container.

    Raises:
        MismatchError: One is of another type; says at which place.

    """
    if all_plain(values, item):
        return
    for place, value in enumerate(values):
        try:
            item.check(value)
        except MismatchError as error:
            raise error.at(f"[{place}]") from None


def list_form(item: Form, build: Build) -> Form:
    """Describe `list[item]`."""

    def dump(value: Any, blobs: Blobs) -> Any:
        return value if all_plain(value, item) else [item.dump(each, blobs) for each in value]

    def load(raw: Any, blobs: Blobs) -> Any:
        return raw if item.verbatim else [item.load(each, blobs) for each in raw]

    inner = Form(f"list[{item.name}]", lambda value: check_each(value, item), dump, load, "list")
    return kept_subclass(inner, list, build)


def set_form(cls: type, item: Form, build: Build) -> Form:
    """Describe `set[item]` or `frozenset[item]`: stored in an order that is the same in every process."""

    def dump(value: Any, blobs: Blobs) -> Any:
        return sorted((item.dump(each, blobs) for each in value), key=write_sorted)

    def load(raw: Any, blobs: Blobs) -> Any:
        return cls(raw if item.verbatim else [item.load(each, blobs) for each in raw])

    inner = Form(f"{cls.__name__}[{item.name}]", lambda value: check_each(value, item), dump, load, "list")
    return kept_subclass(inner, cls, build)


def tuple_form(item: Form, build: Build) -> Form:
    """Describe `tuple[item, ...]`."""

    def dump(value: Any, blobs: Blobs) -> Any:
        return list(value) if all_plain(value, item) else [item.dump(each, blobs) for each in value]

    def load(raw: Any, blobs: Blobs) -> Any:
        return tuple(raw if item.verbatim else [item.load(each, blobs) for each in raw])

    inner = Form(f"tuple[{item.name}, ...]", lambda value: check_each(value, item), dump, load, "list")
    return kept_subclass(inner, tuple, build)


def fixed_tuple_form(items: list[Form], build: Build) -> Form:
    """Describe `tuple[A, B]`."""
    name = f"tuple[{', '.join(item.name for item in items) or '()'}]"

    def check(value: Any) -> None:
        if len(value) != len(items):
            raise MismatchError(f"{len(items)} elements", value)
        for place, (item, each) in enumerate(zip(items, value, strict=True)):
            if type(each) not in item.plain:
                try:
                    item.check(each)
                except MismatchError as error:
                    raise error.at(f"[{place}]") from None

    def dump(value: Any, blobs: Blobs) -> Any:
        return [item.dump(each, blobs) for item, each in zip(items, value, strict=True)]

    def load(raw: Any, blobs: Blobs) -> Any:
        return tuple([item.load(each, blobs) for item, each in zip(items, raw, strict=True)])

    return kept_subclass(Form(name, check, dump, load, "list"), tuple, build)


def dict_form(cls: type, key: Form, value: Form, build: Build) -> Form:
    """Describe `dict[key, value]`: a JSON object if the keys can be written as text, else pairs.

    Two of them are equal in whatever order their keys are, two of an `OrderedDict` are not.
    """
    keys_as_json = key.shape in _KEYS
    is_ordered = cls is OrderedDict

    def check(given: Any) -> None:
        check_keys(given, key)
        if all_plain(given.values(), value):
            return
        for name, each in given.items():
            if type(each) not in value.plain:
                try:
                    value.check(each)
                except MismatchError as error:
                    raise error.at(f"[{name!r:.80}]") from None

    def dump(given: Any, blobs: Blobs) -> Any:
        if value.told and is_state(given):
            return dump_tensors(given, blobs)
        values = given.values() if all_plain(given.values(), value) else [value.dump(v, blobs) for v in given.values()]
        keys = list(given) if all_plain(given, key) else [key.dump(k, blobs) for k in given]
        if keys_as_json:
            keys = [write(k) for k in keys]
        if is_ordered:
            return {DICT_MARK: [list(pair) for pair in zip(keys, values, strict=True)], ORDER: True}
        if _names_only(keys):
            return apart(dict(zip(keys, values, strict=True)))
        return {DICT_MARK: [list(pair) for pair in zip(keys, values, strict=True)]}

    def load(raw: Any, blobs: Blobs) -> Any:
        if TORCH_MARK in raw:
            return load_tensors(raw, blobs)
        pairs = raw[DICT_MARK] if DICT_MARK in raw else raw.items()
        read = _reader(key, keys_as_json)
        if read is None and value.verbatim:
            return raw if cls is dict and DICT_MARK not in raw else cls(pairs)
        return cls([(read(k, blobs) if read else k, value.load(v, blobs)) for k, v in pairs])

    inner = Form(f"{cls.__name__}[{key.name}, {value.name}]", check, dump, load, "object")
    return kept_subclass(inner, cls, build)


def check_keys(given: Any, key: Form) -> None:
    """Check the keys of a dict.

    Raises:
        MismatchError: One is of another type.

    """
    if not all_plain(given, key):
        for name in given:
            try:
                key.check(name)
            except MismatchError as error:
                raise error.at(f" key {name!r:.80}") from None


def _names_only(keys: list[Any]) -> bool:
    return all(type(key) is str for key in keys) and MARKS.isdisjoint(keys)


def _reader(key: Form, as_json: bool) -> Callable[[Any, Blobs], Any] | None:
    if as_json:
        return lambda text, blobs: key.load(json.loads(text), blobs)
    return None if key.verbatim else key.load
