"""Read a part of a stored table as plain values, for people: a grid of some rows.

Invariants: only what Arrow cannot leave out is read; what is shown of a value is cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from flyte_ray.types.marks import ARROW_MARK
from flyte_ray.types.previews import Stored

CUT: Final = 500
"""Characters of one cell."""
MOST_ROWS: Final = 1000


def read_schema(stored: Stored) -> tuple[list[list[str]], int | None]:
    """Return columns with their types, and the number of rows where reading it costs nothing."""
    reader = _open(stored)
    if stored.mark == ARROW_MARK:
        return _columns(reader.schema), stored.raw.get("rows")
    return _columns(reader.schema_arrow), reader.metadata.num_rows


def read_grid(stored: Stored, start: int, count: int) -> dict[str, Any]:
    """Return `columns`, `types`, `rows` from one on, as lists of JSON values, and the `total` of rows.

    Raises:
        ValueError: It is no table.

    """
    if stored.mark != ARROW_MARK and not stored.is_parquet:
        raise ValueError(f"{stored.name!r} should be a table to be shown in rows, but is none. Download it.")
    schema, total = read_schema(stored)
    rows: list[list[Any]] = []
    reader = _open(stored)
    for table in _parts(reader, stored, start, min(count, MOST_ROWS)):
        columns = [_cells(column) for column in table.columns]
        rows += [list(row) for row in zip(*columns, strict=True)]
    names, types = [name for name, _ in schema], [kind for _, kind in schema]
    return {"columns": names, "types": types, "rows": rows, "total": total}


def _open(stored: Stored) -> Any:
    import pyarrow as pa  # slow to import, and only tables need it

    uri = stored.blobs.relative(stored.uri or "")
    if uri is None or not stored.is_own:
        raise ValueError(
            f"{stored.name!r} should lie with its run to be shown, but lies at {stored.uri}. Read it there."
        )
    path = stored.blobs.local_path(uri)
    if path is not None:
        source: Any = pa.memory_map(path)
    else:
        there, system = stored.blobs.arrow_place(uri)
        source = system.open_input_file(there)
    if stored.mark == ARROW_MARK:
        return pa.ipc.open_file(source)
    import pyarrow.parquet as pq  # see above

    return pq.ParquetFile(source)


def _parts(reader: Any, stored: Stored, start: int, count: int) -> Iterator[Any]:
    """Yield the rows from `start` on, of each batch or row group those that are wanted."""
    import pyarrow as pa  # see _open

    is_arrow, at = stored.mark == ARROW_MARK, 0
    for number in range(reader.num_record_batches if is_arrow else reader.num_row_groups):
        if not is_arrow and at + (rows := reader.metadata.row_group(number).num_rows) <= start:
            at += rows
            continue
        batch = reader.get_batch(number) if is_arrow else reader.read_row_group(number)
        part = batch.slice(max(0, start - at), max(0, min(count, at + batch.num_rows - max(start, at))))
        if part.num_rows:
            yield pa.Table.from_batches([part]) if is_arrow else part
            count -= part.num_rows
        at += batch.num_rows
        if count <= 0:
            return


def _columns(schema: Any) -> list[list[str]]:
    return [[field.name, str(field.type)] for field in schema]


def _cells(column: Any) -> list[Any]:
    return [_cell(value) for value in column.to_pylist()]


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str)[:CUT]
    return str(value)[:CUT] if not isinstance(value, bytes) else f"{len(value):,} bytes"
