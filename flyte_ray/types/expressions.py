"""Write an annotation as JSON, and read it in another process, which may lack the classes that it names.

Invariant: what cannot be read as what it was is read as `Any`, under which values are stored by what they are. An
annotation's text is for people, and for telling a changed interface from one that is the same.
"""

from __future__ import annotations

import functools
import operator
import re
import types
import typing
from collections.abc import Callable
from typing import Any, Final

import typing_extensions

from flyte_ray.types.choices import is_union
from flyte_ray.types.form import name_of
from flyte_ray.types.untyped import find_class

_NONE: Final = type(None)
_SCRIPT: Final = "__main__"
_JSON: Final = (str, int, bool, _NONE)


def write_annotation(annotation: Any, main: str = _SCRIPT) -> dict[str, Any]:
    """Describe an annotation.

    Args:
        annotation: It.
        main: By which name others import what is the script here.

    Returns:
        Its `text`, in which classes stand without their modules, and in `form` what `read_annotation` reads.

    """
    return {
        "text": re.sub(r"[A-Za-z_][\w.]*\.(?=[A-Za-z_])", "", name_of(annotation)),
        "form": _write(annotation, main),
    }


def read_annotation(raw: Any) -> Any:
    """Return the annotation that was described, with `Any` for what this process does not find."""
    return _read(raw["form"])


def _write(annotation: Any, main: str) -> Any:
    if annotation is None or annotation is _NONE:
        return {"is": "None"}
    if annotation is Ellipsis:
        return {"is": "..."}
    origin = typing_extensions.get_origin(annotation)
    parts = typing.get_args(annotation)
    if origin is typing.Annotated:
        return _write(parts[0], main)
    if origin is not None and is_union(origin):
        return {"is": "Union", "of": [_write(part, main) for part in parts]}
    if origin is typing.Literal:
        is_plain = all(type(part) in _JSON for part in parts)
        return {"is": "Literal", "of": list(parts)} if is_plain else {"is": "Any"}
    kind = origin or annotation
    if not isinstance(kind, type):
        return {"is": "Any"}
    module = main if kind.__module__ == _SCRIPT else kind.__module__
    if module == _SCRIPT or "<" in kind.__qualname__:
        return {"is": "Any"}
    written: dict[str, Any] = {"is": f"{module}:{kind.__qualname__}"}
    return {**written, "of": [_write(part, main) for part in parts]} if parts else written


def _read(form: Any) -> Any:
    kind, parts = form["is"], form.get("of", [])
    if kind in _SPECIAL:
        return _SPECIAL[kind]
    if kind == "Literal":
        return typing.Literal.__getitem__(tuple(parts))
    read = [_read(part) for part in parts]
    if kind == "Union":
        return functools.reduce(operator.or_, read) if all(map(_joins, read)) else Any
    try:
        found = find_class(kind)
    except Exception:  # whatever a module does when it is imported where it does not belong
        return Any
    if not read:
        return found
    try:
        return types.GenericAlias(found, tuple(read)) if _is_builtin(found) else found[tuple(read)]
    except TypeError:
        return found


_SPECIAL: Final[dict[str, Any]] = {"None": None, "...": Ellipsis, "Any": Any}


def _joins(part: Any) -> bool:
    return part is None or isinstance(part, type) or typing_extensions.get_origin(part) is not None


def _is_builtin(kind: Callable[..., Any]) -> bool:
    return kind.__module__ in ("builtins", "collections", "collections.abc")
