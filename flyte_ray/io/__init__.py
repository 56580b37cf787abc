"""Values that are files, folders, and tables that lie somewhere."""

from __future__ import annotations

from flyte_ray.io.file import File, HashingWriter
from flyte_ray.io.folder import Dir, EmptyDir
from flyte_ray.io.formats import PARQUET
from flyte_ray.io.frame import DataFrame
from flyte_ray.types.hashing import HashFunction, HashlibAccumulator, HashMethod

__all__ = [
    "PARQUET",
    "DataFrame",
    "Dir",
    "EmptyDir",
    "File",
    "HashFunction",
    "HashMethod",
    "HashingWriter",
    "HashlibAccumulator",
]
