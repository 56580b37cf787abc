"""A task's Python values and how they are stored, checked where the user speaks; and the names of `flyte.types`."""

from __future__ import annotations

from flyte_ray.types.codec import Encoded, TaskCodec, build_codec, decode_untyped, encoded_of
from flyte_ray.types.engine import TypeEngine
from flyte_ray.types.literals import guess_interface, literal_string_repr
from flyte_ray.types.pickles import FlytePickle
from flyte_ray.types.place import Blobs
from flyte_ray.types.renderable import Renderable
from flyte_ray.types.schema import inputs_schema
from flyte_ray.types.transformers import TypeTransformer, TypeTransformerFailedError

__all__ = [
    "Blobs",
    "Encoded",
    "FlytePickle",
    "Renderable",
    "TaskCodec",
    "TypeEngine",
    "TypeTransformer",
    "TypeTransformerFailedError",
    "build_codec",
    "decode_untyped",
    "encoded_of",
    "guess_interface",
    "inputs_schema",
    "literal_string_repr",
]
