"""Unions, literals and enumerations: one of several.

A member of a union is found by the value's class, and stored with its name where its JSON alone would not tell it: so
two dataclasses of equal fields come back as what they were.
"""

from __future__ import annotations

import enum
import types
import typing
from typing import Any, Final

from flyte_ray.types.form import NOTHING, Build, Form, MismatchError, Shape, shape_of
from flyte_ray.types.marks import CLASS_MARK, MEMBER_MARK, PICKLE_MARK
from flyte_ray.types.place import Blobs

_VALUES: Final = frozenset({str, int, float, bool})
_UNFIT: Final = (TypeError, ValueError, LookupError, AttributeError)


def union_form(members: list[Form], build: Build) -> Form:
    """Describe a value of one of several annotations."""
    name = " | ".join(dict.fromkeys(member.name for member in members))
    tags = _tags(members)
    by_tag = dict(zip(tags, members, strict=True))
    shapes = [member.shape for member in members]
    bare = "mixed" not in shapes and len(set(shapes)) == len(shapes)
    plain = NOTHING.union(*(member.plain for member in members))
    other = build(Any)

    def choose(value: Any) -> int | None:
        kind = type(value)
        for is_exact in (True, False):
            fitting = [at for at, member in enumerate(members) if (kind in member.classes) is is_exact]
            if is_exact and len(fitting) == 1:
                return fitting[0]
            found = next((at for at in fitting if _fits(members[at], value)), None)
            if found is not None or (is_exact and fitting):
                return found
        return None

    def check(value: Any) -> None:
        if type(value) in plain:
            return
        at = choose(value)
        if at is None:
            raise MismatchError(name, value)
        members[at].check(value)

    def dump(value: Any, blobs: Blobs) -> Any:
        if type(value) in plain and (bare or value is None):
            return value
        at = choose(value)
        assert at is not None, "a value is checked before it is stored"
        raw = members[at].dump(value, blobs)
        return raw if bare or raw is None else {MEMBER_MARK: tags[at], "value": raw}

    def load(raw: Any, blobs: Blobs) -> Any:
        if type(raw) is dict:
            if MEMBER_MARK in raw:
                return by_tag[raw[MEMBER_MARK]].load(raw["value"], blobs)
            if CLASS_MARK in raw or PICKLE_MARK in raw:
                return other.load(raw, blobs)
        return _load_bare(raw, blobs, members)

    verbatim = bare and all(member.verbatim for member in members)
    return Form(name, check, dump, load, "mixed", NOTHING, plain if bare else NOTHING, verbatim)


def optional_form(member: Form) -> Form:
    """Describe a value of an annotation, or None."""

    def check(value: Any) -> None:
        if value is not None:
            member.check(value)

    def dump(value: Any, blobs: Blobs) -> Any:
        return None if value is None else member.dump(value, blobs)

    def load(raw: Any, blobs: Blobs) -> Any:
        return None if raw is None else member.load(raw, blobs)

    nothing = {type(None)}
    plain = member.plain | nothing
    return Form(f"{member.name} | None", check, dump, load, "mixed", member.classes | nothing, plain, member.verbatim)


def _fits(member: Form, value: Any) -> bool:
    try:
        member.check(value)
    except MismatchError:
        return False
    return True


def _tags(members: list[Form]) -> list[str]:
    names = [member.name for member in members]
    return [
        name if names.count(name) == 1 else f"{name} #{names[:at].count(name) + 1}" for at, name in enumerate(names)
    ]


def _load_bare(raw: Any, blobs: Blobs, members: list[Form]) -> Any:
    """Load what carries no tag: its JSON tells the member, or it is of an older version, which told none."""
    shape = shape_of(raw)
    last: Exception | None = None
    for member in sorted(members, key=lambda member: member.shape != shape):
        try:
            return member.load(raw, blobs)
        except _UNFIT as error:
            last = error
    assert last is not None
    raise last


def literal_form(options: tuple[Any, ...], build: Build) -> Form:
    """Describe `Literal[...]`: the option as it is, or as what it is."""
    name = f"Literal[{', '.join(str(each) if isinstance(each, enum.Enum) else repr(each) for each in options)}]"
    other = build(Any)
    known = {(type(each), each) for each in options}
    kinds = frozenset(type(each) for each in options)

    def check(value: Any) -> None:
        if type(value) not in kinds or (type(value), value) not in known:
            raise MismatchError(name, value)

    shapes = {shape_of(each) for each in options}
    shape: Shape = shapes.pop() if len(shapes) == 1 else "mixed"
    if any(isinstance(each, (bytes, enum.Enum)) for each in options):
        return Form(name, check, other.dump, _literal_loader(options, other), "mixed", kinds)
    return Form(name, check, lambda value, _: value, lambda raw, _: raw, shape, kinds, verbatim=True)


def _literal_loader(options: tuple[Any, ...], other: Form) -> Any:
    by_value = {each.value: each for each in options if isinstance(each, enum.Enum) and type(each.value) in _VALUES}

    def load(raw: Any, blobs: Blobs) -> Any:
        # An older version stored a member of an enumeration by its value alone.
        return other.load(raw, blobs) if type(raw) is dict else by_value.get(raw, raw)

    return load


def enum_form(cls: type[enum.Enum]) -> Form:
    """Describe an enumeration: by value where values are plain, by number where members combine, else by name."""

    def check(value: Any) -> None:
        if not isinstance(value, cls):
            raise MismatchError(cls.__name__, value)

    members = cls.__members__.values()
    # NaN is not found again by what it is.
    by_value = {each.value: each for each in members if type(each.value) in _VALUES and each.value == each.value}
    classes = frozenset({cls})
    shapes = {shape_of(value) for value in by_value}
    shape: Shape = shapes.pop() if len(shapes) == 1 else "mixed"
    if issubclass(cls, enum.Flag):
        return Form(cls.__name__, check, lambda value, _: value.value, lambda raw, _: cls(raw), "int", classes)
    if len(by_value) == len(cls):
        return Form(cls.__name__, check, lambda value, _: value.value, lambda raw, _: by_value[raw], shape, classes)
    return Form(cls.__name__, check, lambda value, _: value.name, lambda raw, _: cls[raw], "str", classes)


def is_union(origin: Any) -> bool:
    """Tell a union's origin, which is another one for `A | B` than for `Union[A, B]`."""
    return origin is typing.Union or origin is types.UnionType
