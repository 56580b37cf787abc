"""The marks of stored values that are not plain JSON.

A mark is a key of a JSON object. A user's own object that has such a key is stored as a list of pairs (`DICT_MARK`), so
that a mark always means what it says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, Final

PICKLE_MARK: Final = "$pickle"
"""A pickled value: base64, or a reference to it."""
JSON_MARK: Final = "$json"
"""Reference to a whole value that is large."""
ARROW_MARK: Final = "$arrow"
"""URI of an Arrow table."""
NPY_MARK: Final = "$npy"
"""An array of numpy: base64 of a `.npy` file, or a reference to it."""
TORCH_MARK: Final = "$torch"
"""A tensor or a state dict of torch: base64 of what `torch.save` writes, or a reference to it."""
DATASET_MARK: Final = "$dataset"
"""URI of a folder of Parquet files that Ray has written."""
CLASS_MARK: Final = "$class"
"""`module:qualname` of the value's class, where the annotation does not tell it; `value` holds it."""
MEMBER_MARK: Final = "$is"
"""Which member of a union the `value` is of."""
TUPLE_MARK: Final = "$tuple"
SET_MARK: Final = "$set"
FROZENSET_MARK: Final = "$frozenset"
BYTES_MARK: Final = "$bytes"
"""Bytes where no annotation says so: base64, or a reference to them, which is so for annotated ones too."""
DICT_MARK: Final = "$dict"
"""Pairs of key and value, of a dict whose keys are not all text, or that has a mark among them."""
ORDER: Final = "order"
"""Beside pairs whose order counts where values are compared."""
HASH_MARK: Final = "$hash"
"""What the user says that tells a `value` from others."""
PLACE_MARK: Final = "$place"
"""Names the place of another run's large values, in an output that was taken from there."""
OTHER_MARK: Final = "$other"
"""An output of a step, or a field of a model, that is not of the annotated type."""
FIELDS_MARK: Final = "$fields"
"""The fields of a model that does not come back from its JSON."""
MARKS: Final = frozenset(
    {
        *(PICKLE_MARK, JSON_MARK, ARROW_MARK, NPY_MARK, TORCH_MARK, DATASET_MARK, BYTES_MARK),
        *(CLASS_MARK, MEMBER_MARK, TUPLE_MARK, SET_MARK, FROZENSET_MARK, DICT_MARK, HASH_MARK, PLACE_MARK),
        *(OTHER_MARK, FIELDS_MARK),
    }
)

PLAIN_TEXT: Final[dict[type, Callable[[Any], str]]] = {
    int: int.__repr__,
    str: encode_basestring,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}
"""What `write` makes of a value of exactly this type: most inputs and outputs are a few of these."""

# One encoder for all: `json.dumps` with options makes a new one for each call.
write: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
read: Final[Callable[[str], tuple[Any, int]]] = json.JSONDecoder().raw_decode
"""Read what `write` has written, and where it ends; `json.loads` looks at options and for blanks first."""


def utf8(text: str) -> bytes:
    """Encode JSON; half a surrogate pair, as of a file name that is no UTF-8, in the way that JSON has for it."""
    return text.encode("utf-8", "backslashreplace")


write_sorted: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode
