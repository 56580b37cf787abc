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

_CODES: Final = {"int32": "i", "timestamp[us, tz=UTC]": "q", "double": "d"}


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Build a column of text, 32-bit integers, floats or microseconds since the epoch; None is null."""
    try:
        return _column(values, kind)
    except UnicodeEncodeError:
        # Half a surrogate pair, as in a file name that is no UTF-8: JSON has this way of writing it.
        return _column([text and text.encode("utf-8", "backslashreplace").decode() for text in values], kind)


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa  # slow to import; readers of an empty root do without it

    nulls = values.count(None)
    if nulls == len(values):
        return pa.nulls(len(values), kind)
    code = _CODES.get(str(kind))
    if code is not None:
        known = [value or 0 for value in values] if nulls else values
        return pa.Array.from_buffers(kind, len(values), [_valid(values), pa.py_buffer(array.array(code, known))])
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def _valid(values: Sequence[Any]) -> pa.Buffer | None:
    """Build the bitmap of what is not null; None where nothing is."""
    import pyarrow as pa  # see _column

    if None not in values:
        return None
    bits = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        if value is not None:
            bits[place >> 3] |= 1 << (place & 7)
    return pa.py_buffer(bits)
