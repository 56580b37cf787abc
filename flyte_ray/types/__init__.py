"""A task's Python values and how they are stored, checked where the user speaks."""

from __future__ import annotations

from flyte_ray.types.codec import Encoded, TaskCodec, build_codec, decode_untyped
from flyte_ray.types.place import Blobs
from flyte_ray.types.schema import inputs_schema

__all__ = ["Blobs", "Encoded", "TaskCodec", "build_codec", "decode_untyped", "inputs_schema"]
