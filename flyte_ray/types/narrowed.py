"""Values that know their columns and their format themselves: `flyte.io.DataFrame`, also in `Annotated`.

A table of a library may stand for one, and one for a table of a library.
"""

from __future__ import annotations

from typing import Any

from flyte_ray.types.columns import Columns
from flyte_ray.types.form import CannotStoreError, Form
from flyte_ray.types.frames import kind_of
from flyte_ray.types.place import Blobs


def is_narrowed(cls: Any) -> bool:
    """Tell a class whose values take declared columns."""
    return hasattr(cls, "narrowed")


def frame_form(inner: Form, cls: Any) -> Form:
    """Describe such values, where a table of a library is taken for one."""

    def check(value: Any) -> None:
        if kind_of(type(value)) is None:
            inner.check(value)

    def dump(value: Any, blobs: Blobs) -> Any:
        return inner.dump(_as_frame(value, cls), blobs)

    return Form(inner.name, check, dump, inner.load, inner.shape, inner.classes)


def _as_frame(value: Any, cls: Any) -> Any:
    try:
        return value if kind_of(type(value)) is None else cls.from_df(value)
    except TypeError as error:
        raise CannotStoreError(str(error)) from error


def as_table(value: Any, cls: Any) -> Any:
    """Read such a value as a table of a library; leave any other alone.

    Raises:
        CannotStoreError: What it refers to cannot be read as such a table.

    """
    if not is_narrowed(type(value)):
        return value
    try:
        return value.open(cls).all_sync()
    except (TypeError, ValueError, OSError) as error:
        raise CannotStoreError(str(error)) from error


def narrowed_form(inner: Form, cls: Any, columns: Columns | None, form: str | None) -> Form:
    """Describe values with declared columns, and the format that they are stored in."""

    def dump(value: Any, blobs: Blobs) -> Any:
        try:
            return inner.dump(_as_frame(value, cls).narrowed(columns, form), blobs)
        except ValueError as error:
            raise CannotStoreError(str(error)) from error

    def load(raw: Any, blobs: Blobs) -> Any:
        return inner.load(raw, blobs).narrowed(columns, form)

    return Form(inner.name, inner.check, dump, load, inner.shape, inner.classes)
