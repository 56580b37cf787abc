"""Values that know their columns and their format themselves: `flyte.io.DataFrame` in `Annotated`."""

from __future__ import annotations

from typing import Any

from flyte_ray.types.columns import Columns
from flyte_ray.types.form import CannotStoreError, Form
from flyte_ray.types.place import Blobs


def is_narrowed(cls: Any) -> bool:
    """Tell a class whose values take declared columns."""
    return hasattr(cls, "narrowed")


def narrowed_form(inner: Form, columns: Columns | None, form: str | None) -> Form:
    """Describe values with declared columns, and the format that they are stored in."""

    def dump(value: Any, blobs: Blobs) -> Any:
        try:
            return inner.dump(value.narrowed(columns, form), blobs)
        except ValueError as error:
            raise CannotStoreError(str(error)) from error

    def load(raw: Any, blobs: Blobs) -> Any:
        return inner.load(raw, blobs).narrowed(columns, form)

    return Form(inner.name, inner.check, dump, load, inner.shape, inner.classes)
