"""What pydantic stores: its models, and what else it knows and we do not.

Invariants: a model is what it declares, also in JSON; one with fields that have no JSON, such as tables, is stored
field by field and not validated again.
"""

from __future__ import annotations

import json
from typing import Any, Final

from flyte_ray.types.form import Build, CannotStoreError, Form, MismatchError, name_of
from flyte_ray.types.marks import MARKS
from flyte_ray.types.pickles import dump_pickle
from flyte_ray.types.place import Blobs, placed
from flyte_ray.types.scalars import kept_subclass

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

    def check(value: Any) -> None:
        if not isinstance(value, own):
            raise MismatchError(name, value)
        if type(value) is not cls:
            _validate(adapter, name, value)

    def dump(value: Any, blobs: Blobs) -> Any:
        return _dump(adapter, value, blobs)

    def load(raw: Any, blobs: Blobs) -> Any:
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

    def dump(value: Any, blobs: Blobs) -> Any:
        raw = _dump(adapter, value, blobs)
        return raw if _is_whole(adapter, raw, value) else dump_pickle(value, blobs)

    def load(raw: Any, blobs: Blobs) -> Any:
        if isinstance(raw, dict) and not MARKS.isdisjoint(raw):
            return other.load(raw, blobs)
        return _load(adapter, raw, blobs)

    return Form(name, lambda value: _validate(adapter, name, value), dump, load)


def _is_whole(adapter: Any, raw: Any, value: Any) -> bool:
    """Tell whether a value can be rebuilt from its JSON: pydantic leaves out of some what it does not know."""
    try:
        return bool(adapter.validate_json(json.dumps(raw)) == value)
    except (TypeError, ValueError):
        return False


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
    with placed(blobs):
        try:
            raw = adapter.dump_python(value, mode="json")
        except ValueError as error:
            if isinstance(error.__cause__, OSError):  # a file that is not there
                raise CannotStoreError(str(error.__cause__)) from error
            if error.__cause__ is not None:
                raise error.__cause__ from None
            return dump_pickle(value, blobs)  # a field of any type holds what has no JSON
    return dump_pickle(value, blobs) if _has_mark(raw) else raw


def _has_mark(raw: Any) -> bool:
    if isinstance(raw, dict):
        return not MARKS.isdisjoint(raw) or any(_has_mark(part) for part in raw.values())
    return isinstance(raw, list) and any(_has_mark(part) for part in raw)


def _load(adapter: Any, raw: Any, blobs: Blobs) -> Any:
    with placed(blobs):
        # As JSON, not as Python values: only so are bytes read back from base64.
        return adapter.validate_json(json.dumps(raw))


def _fields_form(cls: Any, build: Build) -> Form:
    """Describe a model by its fields."""
    forms = {name: build(_annotated(field)) for name, field in cls.model_fields.items()}
    extra = build(dict[str, Any])

    def check(value: Any) -> None:
        for name, form in forms.items():
            try:
                form.check(getattr(value, name))
            except MismatchError as error:
                raise error.at(f".{name}") from None

    def dump(value: Any, blobs: Blobs) -> Any:
        raw = {name: form.dump(getattr(value, name), blobs) for name, form in forms.items()}
        more = value.__pydantic_extra__
        return {"fields": raw, "extra": extra.dump(more, blobs) if more else None}

    def load(raw: Any, blobs: Blobs) -> Any:
        values = {name: forms[name].load(part, blobs) for name, part in raw["fields"].items()}
        more = extra.load(raw["extra"], blobs) if raw["extra"] else {}
        return cls.model_construct(**values, **more)

    return Form(name_of(cls), check, dump, load, "object")


def _annotated(field: Any) -> Any:
    return field.annotation
