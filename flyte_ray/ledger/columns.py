"""Make Arrow columns without importing pandas: that would be a quarter of the ledger's memory.

`pyarrow.array` imports it at its first call, to see whether it was given one of its values; a builder does not, and
takes 0.1 us more per value.
"""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

_CODES: Final = {"int32": "i", "timestamp[us, tz=UTC]": "q"}


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Build a column of text (None is null), 32-bit integers or microseconds since the epoch."""
    try:
        return _column(values, kind)
    except UnicodeEncodeError:
        # Half a surrogate pair, as in a file name that is no UTF-8: JSON has this way of writing it.
        return _column([text and text.encode("utf-8", "backslashreplace").decode() for text in values], kind)


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa  # slow to import; readers of an empty root do without it

    code = _CODES.get(str(kind))
    if code is not None:
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(array.array(code, values))])
    if values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()
