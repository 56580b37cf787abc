"""Values that are files."""

from __future__ import annotations

from flyte_ray.io.file import File, HashingWriter
from flyte_ray.io.folder import Dir, EmptyDir
from flyte_ray.types.hashing import HashFunction, HashlibAccumulator, HashMethod

__all__ = ["Dir", "EmptyDir", "File", "HashFunction", "HashMethod", "HashingWriter", "HashlibAccumulator"]
