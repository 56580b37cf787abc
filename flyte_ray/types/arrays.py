"""Arrays and scalars of numpy, stored as `.npy`: exact in type, shape and order, and read by everybody."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import typing
from typing import IO, Any, Final

from flyte_ray.types.form import Build, Form, MismatchError
from flyte_ray.types.large import INLINE_BYTES
from flyte_ray.types.marks import NPY_MARK
from flyte_ray.types.pickles import dump_pickle
from flyte_ray.types.place import Blobs
from flyte_ray.types.scalars import kept_subclass

_INLINE: Final = INLINE_BYTES // 2


def array_form(annotation: Any, build: Build) -> Form | None:
    """Describe `numpy.ndarray`, `NDArray[...]` or a class of scalars; None if the annotation is none of them."""
    cls = typing.get_origin(annotation) or annotation
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(cls, type):
        return None
    if issubclass(cls, numpy.generic):
        inner = Form(f"numpy.{cls.__name__}", lambda _: None, _dump_scalar, load_array, "object", told=True)
        return kept_subclass(inner, cls, build)
    if cls is not numpy.ndarray:
        return None
    wanted = _element(annotation)
    name = f"numpy.ndarray of {wanted.__name__}" if wanted else "numpy.ndarray"

    def check(value: Any) -> None:
        if wanted is not None and not issubclass(value.dtype.type, wanted):
            raise MismatchError(name, value)

    return kept_subclass(Form(name, check, _dump, load_array, "object", told=True), cls, build)


def _element(annotation: Any) -> Any:
    for part in typing.get_args(annotation):
        kinds = typing.get_args(part)
        if len(kinds) == 1 and isinstance(kinds[0], type):
            return kinds[0]
    return None


def _dump(array: Any, blobs: Blobs) -> Any:
    if array.dtype.hasobject:
        return dump_pickle(array, blobs)
    if array.nbytes <= _INLINE:
        return {NPY_MARK: _inline(array)}
    digest = _digest(array)
    uri = blobs.put_written(lambda file: _write(array, file), ".npy", digest[:32])
    return {NPY_MARK: {"uri": uri, "bytes": array.nbytes, "digest": digest}}


def _dump_scalar(value: Any, blobs: Blobs) -> Any:
    import numpy as np  # the value is of it

    array = np.asarray(value)
    return dump_pickle(value, blobs) if array.dtype.hasobject else {NPY_MARK: _inline(array), "scalar": True}


def _inline(array: Any) -> str:
    file = io.BytesIO()
    _write(array, file)
    return base64.b64encode(file.getbuffer()).decode()


def _write(array: Any, file: IO[bytes]) -> None:
    import numpy as np  # the value is of it

    np.lib.format.write_array(file, array, allow_pickle=False)


def _digest(array: Any) -> str:
    import numpy as np  # the value is of it

    # Its order is a part of what is stored, and so of the name that it is stored under.
    about = np.lib.format.dtype_to_descr(array.dtype), array.shape, np.isfortran(array)
    found = hashlib.sha256(repr(about).encode())
    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    found.update(flat)
    return found.hexdigest()


def load_array(raw: dict[str, Any], blobs: Blobs) -> Any:
    """Rebuild an array, which may be written to, or a scalar."""
    import numpy as np  # who has stored it had imported it

    held = raw[NPY_MARK]
    path = blobs.local_path(held["uri"]) if isinstance(held, dict) else None
    if path is not None:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    data = blobs.get(held["uri"]) if isinstance(held, dict) else base64.b64decode(held)
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array[()] if raw.get("scalar") else array
