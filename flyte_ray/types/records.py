"""Dataclasses, NamedTuples and TypedDicts: values of named fields, each with a form of its own.

Invariants: fields come back as they were stored, whatever `__post_init__` does with them; a field that the record of an
older version lacks has its default.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import typing_extensions

from flyte_ray.types.form import Build, Form, MismatchError, name_of
from flyte_ray.types.marks import DICT_MARK, MARKS
from flyte_ray.types.place import Blobs
from flyte_ray.types.references import apart
from flyte_ray.types.scalars import kept_subclass

_QUALIFIERS: Final = (
    *(typing.ClassVar, typing.Final),
    *(typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly),
)


def record_form(annotation: Any, build: Build) -> Form | None:
    """Describe a class of named fields; None if the annotation is none, or its values cannot be made from its fields.

    Args:
        annotation: A class, or an alias such as `Box[int]`.
        build: Finds the forms of the fields.

    """
    cls = typing.get_origin(annotation) or annotation
    if not isinstance(cls, type):
        return None
    if typing_extensions.is_typeddict(cls):
        return _typed_dict_form(annotation, cls, build)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple_form(annotation, cls, build)
    if dataclasses.is_dataclass(cls) and _is_made_from_fields(cls):
        return _dataclass_form(annotation, cls, build)
    return None


def _is_made_from_fields(cls: Any) -> bool:
    # What only `__init__` takes, an `InitVar`, is gone when the value is there.
    names = {field.name for field in dataclasses.fields(cls)}
    return bool(cls.__dataclass_params__.init) and inspect.signature(cls).parameters.keys() <= names


class _Fields:
    """The forms of a class's fields, found at the first value: a class may hold values of its own."""

    def __init__(self, annotation: Any, cls: Any, names: Iterable[str], build: Build) -> None:
        self.title, self.cls, self.names, self.build = name_of(annotation), cls, list(names), build
        self._annotation = annotation

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Annotations of the fields with what qualifies them, type variables filled in."""
        try:
            hints = typing_extensions.get_type_hints(self.cls, include_extras=True)
        except NameError:  # seen only where the class was declared: what is in the fields says itself what it is
            hints = {}
        variables = _variables(self._annotation)
        return {name: _filled(hints.get(name, Any), variables) for name in self.names}

    @cached_property
    def forms(self) -> dict[str, Form]:
        """Forms of the fields."""
        return {name: self.build(_bare(hint)) for name, hint in self.hints.items()}

    def load(self, pairs: Iterable[tuple[str, Any]], blobs: Blobs) -> dict[str, Any]:
        """Rebuild the values of fields."""
        return {name: self._known(name).load(part, blobs) for name, part in pairs}

    def _known(self, name: str) -> Form:
        form = self.forms.get(name)
        if form is None:
            raise TypeError(f"a stored {self.title} has the field '{name}', which the class has not")
        return form


def _variables(annotation: Any) -> dict[Any, Any]:
    """Tell what a generic class's type variables stand for, those of its bases too."""
    cls = typing.get_origin(annotation) or annotation
    found = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(annotation), strict=False))
    for base in getattr(cls, "__orig_bases__", ()):
        if typing.get_origin(base) not in (None, typing.Generic):
            found = {**_variables(_filled(base, found)), **found}
    return found


def _filled(hint: Any, variables: Mapping[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return variables.get(hint, hint)
    open_ones = getattr(hint, "__parameters__", ()) if not isinstance(hint, type) or typing.get_origin(hint) else ()
    return hint[tuple(variables.get(each, each) for each in open_ones)] if open_ones else hint


def _bare(hint: Any) -> Any:
    while typing_extensions.get_origin(hint) in _QUALIFIERS:
        hint = typing.get_args(hint)[0]
    return hint


def _dump_field(form: Form, value: Any, blobs: Blobs) -> Any:
    return value if type(value) in form.plain else form.dump(value, blobs)


def _check_field(form: Form, step: str, value: Any) -> None:
    if type(value) not in form.plain:
        try:
            form.check(value)
        except MismatchError as error:
            raise error.at(step) from None


def _dataclass_form(annotation: Any, cls: Any, build: Build) -> Form:
    described = dataclasses.fields(cls)
    names = [field.name for field in described]
    fields = _Fields(annotation, cls, names, build)
    given = frozenset(field.name for field in described if field.init)
    is_plain = len(given) == len(names)
    is_generated = (
        getattr(cls.__init__, "__code__", None) is not None and cls.__init__.__code__.co_filename == "<string>"
    )
    # What `__init__` does not take, or one of the user's or `__post_init__` may have changed.
    is_kept = is_generated and not hasattr(cls, "__post_init__")
    after = [name for name in names if name not in given] if is_kept else names

    def set_ones(value: Any) -> list[str]:
        return names if is_plain else [name for name in names if hasattr(value, name)]

    def check(value: Any) -> None:
        for name in set_ones(value):
            _check_field(fields.forms[name], f".{name}", getattr(value, name))

    def dump(value: Any, blobs: Blobs) -> Any:
        forms = fields.forms
        return apart({name: _dump_field(forms[name], getattr(value, name), blobs) for name in set_ones(value)})

    def load(raw: Any, blobs: Blobs) -> Any:
        values = fields.load(raw[DICT_MARK] if DICT_MARK in raw else raw.items(), blobs)
        made = cls(**values) if is_plain else cls(**{name: values[name] for name in values if name in given})
        for name in after:
            if name in values:
                object.__setattr__(made, name, values[name])
        return made

    return kept_subclass(Form(fields.title, check, dump, load, "object"), cls, build)


def _named_tuple_form(annotation: Any, cls: Any, build: Build) -> Form:
    fields = _Fields(annotation, cls, cls._fields, build)
    names = fields.names

    def check(value: Any) -> None:
        # A plain tuple of the same values is taken for it, as Flyte does.
        if not isinstance(value, cls) and type(value) is not tuple:
            raise MismatchError(fields.title, value)
        if len(value) != len(names):
            raise MismatchError(f"{fields.title} of {len(names)} fields", value)
        for name, each in zip(names, value, strict=True):
            _check_field(fields.forms[name], f".{name}", each)

    def dump(value: Any, blobs: Blobs) -> Any:
        forms = fields.forms
        return [_dump_field(forms[name], each, blobs) for name, each in zip(names, value, strict=True)]

    def load(raw: Any, blobs: Blobs) -> Any:
        return cls(*fields.load(zip(names, raw, strict=True), blobs).values())

    return Form(fields.title, check, dump, load, "list", frozenset({cls}))


def _is_required(cls: Any, name: str, hint: Any) -> bool:
    # An annotation written as text hides from the class what qualifies it.
    origin = typing_extensions.get_origin(hint)
    if origin in (typing_extensions.Required, typing_extensions.NotRequired):
        return origin is typing_extensions.Required
    return name in cls.__required_keys__


def _typed_dict_form(annotation: Any, cls: Any, build: Build) -> Form:
    fields = _Fields(annotation, cls, cls.__annotations__, build)
    has_marks = not MARKS.isdisjoint(fields.names)

    def check(value: Any) -> None:
        if type(value) is not dict:
            raise MismatchError(fields.title, value)
        for name in value:
            if name not in fields.forms:
                raise MismatchError(f"{fields.title}, which has no key {name!r:.80}", value)
            _check_field(fields.forms[name], f"[{name!r}]", value[name])
        for name, hint in fields.hints.items():
            if name not in value and _is_required(cls, name, hint):
                raise MismatchError(f"{fields.title} with key {name!r}", value)

    def dump(value: Any, blobs: Blobs) -> Any:
        raw = {name: _dump_field(fields.forms[name], part, blobs) for name, part in value.items()}
        return {DICT_MARK: [list(pair) for pair in raw.items()]} if has_marks else apart(raw)

    def load(raw: Any, blobs: Blobs) -> Any:
        return fields.load(raw[DICT_MARK] if DICT_MARK in raw else raw.items(), blobs)

    return Form(fields.title, check, dump, load, "object")
