"""Tell annotations whose values take time to store and load: async code does so beside its loop."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from flyte_ray.types.annotations import build_form
from flyte_ray.types.models import is_model


def is_heavy(annotation: Any, above: tuple[Any, ...] = ()) -> bool:
    """Tell whether values of an annotation are, or hold, files, folders, tables or arrays.

    Args:
        annotation: As declared.
        above: What holds it; a class may hold itself.

    """
    if annotation in above:
        return False
    inside = (*above, annotation)
    if any(is_heavy(part, inside) for part in typing.get_args(annotation)):
        return True
    cls = typing.get_origin(annotation) or annotation
    if not isinstance(cls, type):
        return False
    if getattr(cls, "lies_beside_the_log", False) or build_form(cls).told:
        return True
    return any(is_heavy(part, inside) for part in _fields(cls))


def _fields(cls: Any) -> list[Any]:
    if is_model(cls):
        return [field.annotation for field in cls.model_fields.values()]
    if not dataclasses.is_dataclass(cls):
        return []
    try:
        hints = typing.get_type_hints(cls)
    except Exception:  # an annotation that names what is not there may fail in any way
        return []
    return [hints.get(field.name, Any) for field in dataclasses.fields(cls)]
