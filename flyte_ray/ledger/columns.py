"""Make Arrow columns without importing pandas where that would cost more than the columns.

`pyarrow.array` imports pandas at its first call, which takes longer than a small run; its builders do not, and are
slower per value.
"""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

FEW: Final = 2000
"""Up to this many rows the builders are the faster way in a fresh process."""
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

    if len(values) > FEW:
        return pa.array(values, type=kind)
    code = _CODES.get(str(kind))
    if code is not None:
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(array.array(code, values))])
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def warm_up() -> None:
    """Load what the first large column would load."""
    import pyarrow as pa  # see _column

    column([""] * (FEW + 1), pa.string())
