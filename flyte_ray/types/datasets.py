"""Datasets of Ray, which Ray itself writes to the store and reads from it, in parts and side by side.

Invariants: no part of Ray is imported here; each dataset has a place of its own, and is referred to when all parts of
it are written. Two of them are never taken for equal: their content is nowhere in one place.
"""

from __future__ import annotations

import importlib
import uuid
from typing import Any, Final

from flyte_ray.types.form import Build, CannotStoreError, Form
from flyte_ray.types.known import Known
from flyte_ray.types.marks import DATASET_MARK
from flyte_ray.types.place import Blobs
from flyte_ray.types.scalars import kept_subclass

_CLASS: Final = ("ray.data", "Dataset")
_OBJECT: Final = "ray.data.arrow_pickled_object"
_known: Final = Known()
"""What was read from a place, and so need not be written there again."""


def is_dataset(cls: Any) -> bool:
    """Tell Ray's class of datasets without importing it."""
    if not isinstance(cls, type):
        return False
    return any(base.__module__.startswith(_CLASS[0]) and base.__name__ == _CLASS[1] for base in cls.__mro__)


def dataset_form(cls: Any, build: Build) -> Form:
    """Describe `ray.data.Dataset`."""
    inner = Form("ray.data.Dataset", lambda _: None, _dump, load_dataset, "object", told=True)
    return kept_subclass(inner, cls, build)


def _dump(dataset: Any, blobs: Blobs) -> Any:
    known = _known.get(dataset, blobs)
    if known is not None:
        return known
    uri = f"{uuid.uuid4().hex}.parquet"
    path, filesystem = blobs.arrow_place(uri)
    dataset.write_parquet(path, filesystem=filesystem)
    _complete(dataset, path, filesystem)
    return {DATASET_MARK: uri}


def _complete(dataset: Any, path: str, filesystem: Any) -> None:
    """Write the columns of a dataset without rows, of which Ray writes nothing; refuse what Ray would not read.

    Raises:
        CannotStoreError: It holds Python objects, which Ray pickles in its files, and does not load from them.

    """
    from pyarrow import fs, parquet, schema  # slow to import; Ray has done so

    found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    parts = [each.path for each in found if each.is_file]
    if not parts:
        filesystem.create_dir(path)
        about = dataset.schema()
        fields = zip(about.names, about.types, strict=True) if about is not None else ()
        parquet.write_table(schema(list(fields)).empty_table(), f"{path}/empty.parquet", filesystem=filesystem)
        return
    objects = [
        field.name for field in parquet.read_schema(parts[0], filesystem=filesystem) if _OBJECT in str(field.type)
    ]
    if objects:
        filesystem.delete_dir(path)
        raise CannotStoreError(
            f"a dataset of plain columns was expected, got Python objects in column '{objects[0]}', which Ray would"
            f" pickle unsigned. Make columns of what they hold."
        )


def load_dataset(raw: dict[str, Any], blobs: Blobs) -> Any:
    """Refer to a stored dataset; Ray reads it when it is used."""
    path, filesystem = blobs.arrow_place(raw[DATASET_MARK])
    dataset = importlib.import_module(_CLASS[0]).read_parquet(path, filesystem=filesystem)
    _known.add(dataset, blobs, raw)
    return dataset
