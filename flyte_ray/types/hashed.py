"""Values whose user says what tells them from others: `Annotated[pd.DataFrame, HashFunction.from_fn(...)]`."""

from __future__ import annotations

import threading
from typing import Any

from flyte_ray.types.form import CannotStoreError, Form, show
from flyte_ray.types.hashing import begun
from flyte_ray.types.marks import HASH_MARK
from flyte_ray.types.place import Blobs


def is_hash_method(metadata: Any) -> bool:
    """Tell a hash method among the extras of an annotation; see `HashMethod`."""
    return hasattr(metadata, "update") and hasattr(metadata, "result")


def hashed_form(inner: Form, method: Any) -> Form:
    """Describe values that are equal where their hashes are, whatever they hold."""
    lock = threading.Lock()

    def dump(value: Any, blobs: Blobs) -> Any:
        with lock:  # it takes the value, and only then gives the hash
            try:
                begun(method).update(value)
                found = method.result()
            except Exception as error:  # what a user's function does may fail in any way
                raise CannotStoreError(
                    f"the hash function of its annotation should return the hash of {show(value)}, but raised"
                    f" {type(error).__name__}: {error}. Change the function."
                ) from error
        return {HASH_MARK: str(found), "value": inner.dump(value, blobs)}

    def load(raw: Any, blobs: Blobs) -> Any:
        return inner.load(raw["value"] if type(raw) is dict and HASH_MARK in raw else raw, blobs)

    return Form(inner.name, inner.check, dump, load, "object", inner.classes, told=inner.told)
