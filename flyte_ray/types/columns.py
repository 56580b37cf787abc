"""Columns that an annotation declares: `Annotated[pd.DataFrame, {"a": int}]`.

A value must have them, with such types, or it fails at the call; who gets it gets these columns and no others.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from flyte_ray.types.form import name_of

_FITS: Final[dict[Any, tuple[str, ...]]] = {
    int: ("is_integer",),
    float: ("is_floating",),
    str: ("is_string", "is_large_string", "is_string_view"),
    bytes: ("is_binary", "is_large_binary", "is_fixed_size_binary", "is_binary_view"),
    bool: ("is_boolean",),
    dt.datetime: ("is_timestamp",),
    dt.date: ("is_date",),
    dt.time: ("is_time",),
    dt.timedelta: ("is_duration",),
    Decimal: ("is_decimal",),
    list: ("is_list", "is_large_list", "is_fixed_size_list"),
    dict: ("is_struct", "is_map"),
}
"""The tests of `pyarrow.types` of which a Python type stands for one."""
Columns = Mapping[str, Any]


def is_columns(metadata: Any) -> bool:
    """Tell declared columns among the extras of an annotation."""
    return isinstance(metadata, Mapping) and bool(metadata) and all(isinstance(name, str) for name in metadata)


def check_schema(schema: Any, columns: Columns) -> None:
    """Compare an Arrow schema with declared columns.

    Raises:
        ValueError: One is missing, or has another type.

    """
    for name, wanted in columns.items():
        if name not in schema.names or not _fits(schema.field(name).type, wanted):
            declared = ", ".join(f"{each}: {name_of(kind)}" for each, kind in columns.items())
            given = ", ".join(f"{field.name}: {field.type}" for field in schema) or "none"
            raise ValueError(
                f"a table with the columns {declared} was expected, got {given}. Give it the"
                f" column '{name}' of that type."
            )


def _fits(kind: Any, wanted: Any) -> bool:
    from pyarrow import types  # there is a schema of it

    if wanted in (Any, object):
        return True
    if types.is_dictionary(kind):
        kind = kind.value_type
    if wanted in _FITS:
        return any(getattr(types, test)(kind) for test in _FITS[wanted])
    return bool(kind == wanted)


def python_types(schema: Any) -> dict[str, Any]:
    """Return the Python type of each column; `object` where there is none."""
    kinds = {field.name: field.type for field in schema}
    return {name: next((cls for cls in _FITS if _fits(kind, cls)), object) for name, kind in kinds.items()}


def selected(table: Any, columns: Columns) -> Any:
    """Return the declared columns of an Arrow table, and those that a data frame's index is made of."""
    return table.select([*columns, *(name for name in index_of(table.schema) if name not in columns)])


def index_of(schema: Any) -> list[str]:
    """Return the columns of an Arrow schema that are a data frame's index."""
    about = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    return [name for name in about.get("index_columns", ()) if isinstance(name, str) and name in schema.names]
