"""Datasets of Ray, which Ray itself writes to the store and reads from it, in parts and side by side.

Invariants: no part of Ray is imported here; each dataset has a place of its own, and is referred to when all parts of
it are written. Two of them are never taken for equal: their content is nowhere in one place.
"""

from __future__ import annotations

import importlib
import uuid
from typing import Any, Final

from flyte_ray.types.form import Build, Form
from flyte_ray.types.known import Known
from flyte_ray.types.marks import DATASET_MARK
from flyte_ray.types.place import Blobs
from flyte_ray.types.scalars import kept_subclass

_CLASS: Final = ("ray.data", "Dataset")
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
    return {DATASET_MARK: uri}


def load_dataset(raw: dict[str, Any], blobs: Blobs) -> Any:
    """Refer to a stored dataset; Ray reads it when it is used."""
    path, filesystem = blobs.arrow_place(raw[DATASET_MARK])
    dataset = importlib.import_module(_CLASS[0]).read_parquet(path, filesystem=filesystem)
    _known.add(dataset, blobs, raw)
    return dataset
