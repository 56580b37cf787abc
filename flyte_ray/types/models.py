"""What pydantic stores: its models, and what else it knows and we do not.

Invariants: a model comes back with the fields that it had, of the same classes. Its JSON is stored where it comes back
from that; else, and where its fields have no JSON, such as tables, it is stored field by field and not validated again.
Private attributes begin anew.
"""

from __future__ import annotations

import datetime as dt
import json
import typing
from functools import cache
from typing import Any, Final

from flyte_ray.types.form import Build, CannotStoreError, Form, MismatchError, name_of
from flyte_ray.types.marks import FIELDS_MARK, MARKS, OTHER_MARK
from flyte_ray.types.pickles import dump_pickle
from flyte_ray.types.place import Blobs, placed
from flyte_ray.types.scalars import kept_subclass

_PLAIN: Final = frozenset({int, str, bool, float, type(None)})
_MODEL: Final = ("pydantic.main", "BaseModel")


def is_model(cls: Any) -> bool:
    """Tell a pydantic model without importing pydantic."""
    return isinstance(cls, type) and any(is_any_model(base) for base in cls.__mro__[1:])


def is_any_model(cls: Any) -> bool:
    """Tell `BaseModel` itself, which says nothing of its values."""
    return (getattr(cls, "__module__", ""), getattr(cls, "__name__", "")) == _MODEL


def is_constraint(metadata: Any) -> bool:
    """Tell what pydantic checks in `Annotated[int, ...]`."""
    module = type(metadata).__module__.split(".")[0]
    return module in ("pydantic", "annotated_types") or hasattr(metadata, "__get_pydantic_core_schema__")


def model_form(annotation: Any, build: Build) -> Form:
    """Describe a model."""
    cls: Any = annotation
    own = cls.__pydantic_generic_metadata__["origin"] or cls
    adapter = _adapter(annotation)
    if adapter is None:
        return kept_subclass(_fields_form(cls, build), cls, build)
    name = name_of(annotation)
    if _hides_secrets(adapter):
        return Form(name, _refuse_secret(name), dump_pickle, lambda raw, _: raw)
    by_field = _fields_form(cls, build)

    def check(value: Any) -> None:
        if not isinstance(value, own):
            raise MismatchError(name, value)
        if type(value) is not cls:
            _validate(adapter, name, value)

    def dump(value: Any, blobs: Blobs) -> Any:
        raw = _dump(adapter, value, blobs)
        is_whole = raw is not None and (type(value) is not cls or _comes_back(adapter, raw, value, blobs))
        return raw if is_whole else {FIELDS_MARK: by_field.dump(value, blobs)}

    def load(raw: Any, blobs: Blobs) -> Any:
        if type(raw) is dict and FIELDS_MARK in raw:
            return by_field.load(raw[FIELDS_MARK], blobs)
        return _load(adapter, raw, blobs)

    inner = Form(name, check, dump, load, "object", frozenset({cls}))
    return _kept_kin(inner, cls, own, build)


def _kept_kin(inner: Form, cls: Any, own: Any, build: Build) -> Form:
    """Store a model of another class than is annotated as what it is, but for another form of the same generic one."""
    kept = kept_subclass(inner, cls, build)

    def is_same(value: Any) -> bool:
        kind = type(value)
        return (kind.__pydantic_generic_metadata__["origin"] or kind) is own if is_model(kind) else False

    def check(value: Any) -> None:
        (inner if is_same(value) else kept).check(value)

    def dump(value: Any, blobs: Blobs) -> Any:
        return (inner if is_same(value) else kept).dump(value, blobs)

    return Form(inner.name, check, dump, kept.load, "object", frozenset({cls}))


def pydantic_form(annotation: Any, build: Build) -> Form | None:
    """Describe what pydantic can write as JSON; None if it cannot."""
    adapter = _adapter(annotation)
    name = name_of(annotation)
    if adapter is None:
        return None
    if _hides_secrets(adapter):
        return Form(name, _refuse_secret(name), dump_pickle, lambda raw, _: raw)
    other = build(Any)
    # What is checked beyond its type may have a form of its own; a class of pydantic's own kind has none.
    dump_other = other.dump if typing.get_origin(annotation) is typing.Annotated else dump_pickle

    def dump(value: Any, blobs: Blobs) -> Any:
        raw = _dump(adapter, value, blobs)
        return raw if _comes_back(adapter, raw, value, blobs) else dump_other(value, blobs)

    def load(raw: Any, blobs: Blobs) -> Any:
        if isinstance(raw, dict) and not MARKS.isdisjoint(raw):
            return other.load(raw, blobs)
        return _load(adapter, raw, blobs)

    return Form(name, lambda value: _validate(adapter, name, value), dump, load)


def _comes_back(adapter: Any, raw: Any, value: Any, blobs: Blobs) -> bool:
    """Tell whether a value comes back from its JSON: aliases, validators, `Any` and subclasses may be against that."""
    try:
        return _is_alike(_load(adapter, raw, blobs), value)
    except Exception:  # validators and comparisons of the user's classes may fail in any way
        return False


def _is_alike(left: Any, right: Any) -> bool:
    """Compare values and their classes, at any depth; a file of what was just stored is taken for the one that was."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind in _PLAIN:
        return bool(left == right)
    if hasattr(kind, "__pydantic_fields__"):
        if hasattr(kind, "lies_beside_the_log"):
            return True
        more, others = left.__pydantic_extra__, right.__pydantic_extra__
        return _is_alike(left.__dict__, right.__dict__) and (more is others or _is_alike(more, others))
    if isinstance(left, dict):
        return _are_alike(list(left), list(right)) and _are_alike(list(left.values()), list(right.values()))
    if isinstance(left, (list, tuple)):
        return _are_alike(left, right)
    if isinstance(left, (dt.datetime, dt.time)):
        return left == right and str(left.tzinfo) == str(right.tzinfo)
    return bool(left == right) and getattr(left, "maxlen", None) == getattr(right, "maxlen", None)  # of a deque


def _are_alike(left: Any, right: Any) -> bool:
    kinds = list(map(type, left))
    if kinds != list(map(type, right)):
        return False
    return bool(left == right) if _PLAIN.issuperset(kinds) else all(map(_is_alike, left, right))


def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter  # a tenth of a second; plain values do without it

    adapter: TypeAdapter[Any]
    try:
        try:
            adapter = TypeAdapter(annotation, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
        except PydanticUserError:  # a model brings its own configuration and takes no other
            adapter = TypeAdapter(annotation)
        adapter.json_schema()
    except Exception:  # a schema that has no JSON form: pydantic raises several unrelated classes for it
        return None
    return adapter


def _hides_secrets(adapter: Any) -> bool:
    return '"writeOnly": true' in json.dumps(adapter.json_schema())


def _refuse_secret(name: str) -> Any:
    def check(value: Any) -> None:
        raise CannotStoreError(
            f"values are recorded, and {name} holds a secret, which must not be. Ask for it where it is used, with"
            f" flyte.Secret."
        )

    return check


def _validate(adapter: Any, name: str, value: Any) -> None:
    try:
        adapter.validate_python(value, strict=True)
    except ValueError as error:
        raise MismatchError(name, value) from error


def _dump(adapter: Any, value: Any, blobs: Blobs) -> Any:
    """Return JSON, None where a value has none."""
    with placed(blobs):
        try:
            raw = adapter.dump_python(value, mode="json")
        except ValueError as error:
            if isinstance(error.__cause__, OSError):  # a file that is not there
                raise CannotStoreError(str(error.__cause__)) from error
            if error.__cause__ is not None:
                raise error.__cause__ from None
            return None  # a field of any type holds what has no JSON
    return None if _has_mark(raw) else raw


def _has_mark(raw: Any) -> bool:
    if isinstance(raw, dict):
        return not MARKS.isdisjoint(raw) or any(_has_mark(part) for part in raw.values())
    return isinstance(raw, list) and any(_has_mark(part) for part in raw)


def _load(adapter: Any, raw: Any, blobs: Blobs) -> Any:
    with placed(blobs):
        # As JSON, not as Python values: only so are bytes read back from base64.
        return adapter.validate_json(json.dumps(raw))


def _fields_form(cls: Any, build: Build) -> Form:
    """Describe a model by its fields; what is in one against its annotation says itself what it is."""
    untyped, extra = build(Any), build(dict[str, Any])

    @cache
    def forms() -> dict[str, Form]:
        # At the first value: a model may hold values of its own class.
        return {name: build(field.annotation) for name, field in cls.model_fields.items()}

    def check(value: Any) -> None:
        for name, form in forms().items():
            try:
                form.check(getattr(value, name))
            except MismatchError as error:
                raise error.at(f".{name}") from None

    def dump_field(form: Form, value: Any, blobs: Blobs) -> Any:
        try:
            form.check(value)
        except MismatchError:
            return {OTHER_MARK: untyped.dump(value, blobs)}
        return form.dump(value, blobs)

    def dump(value: Any, blobs: Blobs) -> Any:
        raw = {name: dump_field(form, getattr(value, name), blobs) for name, form in forms().items()}
        more = value.__pydantic_extra__
        return {"fields": raw, "extra": extra.dump(more, blobs) if more else None}

    def load_field(form: Form, raw: Any, blobs: Blobs) -> Any:
        return (untyped if type(raw) is dict and OTHER_MARK in raw else form).load(raw, blobs)

    def load(raw: Any, blobs: Blobs) -> Any:
        values = {name: load_field(forms()[name], part, blobs) for name, part in raw["fields"].items()}
        more = extra.load(raw["extra"], blobs) if raw["extra"] else None
        return _made(cls, values, more)

    return Form(name_of(cls), check, dump, load, "object")


def _made(cls: Any, values: dict[str, Any], more: dict[str, Any] | None) -> Any:
    """Make a model of its fields without validating them, as pydantic does of a pickle."""
    allows_more = cls.model_config.get("extra") == "allow"
    state = {"__pydantic_extra__": more or {} if allows_more else None, "__pydantic_private__": None}
    made = cls.__new__(cls)
    made.__setstate__({"__dict__": dict(values), "__pydantic_fields_set__": {*values, *(more or ())}, **state})
    if cls.__pydantic_post_init__:
        made.model_post_init(None)  # begins private attributes
        made.__dict__.clear()
        made.__dict__.update(values)
    return made
