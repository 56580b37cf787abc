"""Tell annotations whose values take time to store and load: async code does so beside its loop."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from flyte_ray.types.models import is_model
from flyte_ray.types.tables import is_table


def is_heavy(annotation: Any, above: tuple[Any, ...] = ()) -> bool:
    """Tell whether values of an annotation are, or hold, files, folders or tables.

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
    if is_table(cls) or getattr(cls, "lies_beside_the_log", False):
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
