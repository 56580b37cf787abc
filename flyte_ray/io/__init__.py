"""Values that are files."""

from __future__ import annotations

from flyte_ray.io.file import File
from flyte_ray.io.folder import Dir

__all__ = ["Dir", "File"]
