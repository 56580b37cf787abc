"""Tables, which lie beside the log as Arrow IPC files.

Invariants: a table is named by its content, so that it is stored once in a run; it is written and read without a copy
of the whole in memory where the store is this machine's disk.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import IO, Any, Final

from flyte_ray.types.columns import Columns, check_schema, selected
from flyte_ray.types.content import table_digest
from flyte_ray.types.form import Build, CannotStoreError, Form
from flyte_ray.types.frames import Kind, NotArrowError, arrow_of, describe, kind_named, kind_of
from flyte_ray.types.known import Known
from flyte_ray.types.marks import ARROW_MARK
from flyte_ray.types.narrowed import as_table, is_narrowed
from flyte_ray.types.pickles import dump_pickle
from flyte_ray.types.place import Blobs
from flyte_ray.types.scalars import kept_subclass

LARGE: Final = 4 << 20
"""Bytes of a table from which on it is worth writing it before it is known whether it is there already."""
_ARROW: Final = "pyarrow.Table"
_CATEGORICAL: Final = ("pandas.", "polars.")
_known: Final = Known()
"""Arrow tables, so that one that is handed on is not looked at again."""
_passed: Final = Known()
"""Tables that may have changed since; most have not, and are not written before their digest has told."""


def table_form(cls: Any, build: Build, columns: Columns | None = None) -> Form | None:
    """Describe a class of tables, with the columns that are declared; None if it is none."""
    kind = kind_of(cls)
    if kind is None:
        return None

    def check(value: Any) -> None:
        if not is_narrowed(type(value)):
            kept.check(value)

    def dump(value: Any, blobs: Blobs) -> Any:
        return kept.dump(as_table(value, cls), blobs)

    def dump_own(value: Any, blobs: Blobs) -> Any:
        return _dump(kind, value, blobs, columns)

    def load(raw: Any, blobs: Blobs) -> Any:
        table = read_table(raw, blobs)
        return kind.from_arrow(table if columns is None else selected(table, columns), raw)

    kept = kept_subclass(Form(kind.name, lambda _: None, dump_own, load, "object", told=True), cls, build)
    return replace(kept, check=check, dump=dump)


def load_table(raw: dict[str, Any], blobs: Blobs) -> Any:
    """Rebuild a table of whatever class it was."""
    return kind_named(raw.get("as", _ARROW)).from_arrow(read_table(raw, blobs), raw)


def _dump(kind: Kind, value: Any, blobs: Blobs, columns: Columns | None) -> Any:
    try:
        table, about = arrow_of(kind, value)
    except NotArrowError as error:
        if columns is not None:
            raise
        return dump_pickle(value, blobs, f"in Arrow {error}")
    if columns is not None:
        _check(table, columns)
    known = _known.get(value, blobs) if kind.name == _ARROW else None
    if known is not None:
        return known
    label = {} if kind.name == _ARROW else {"as": kind.name}
    # Two libraries' tables of the same columns are two values, and two files: each has its own metadata.

    @cache
    def digest() -> str:
        return table_digest(table, describe({**label, **about}), dictionaries=kind.name.startswith(_CATEGORICAL))

    is_new = table.nbytes > LARGE and _passed.get(value, blobs) is None
    name = (lambda: digest()[:32]) if is_new else digest()[:32]
    uri = blobs.put_written(lambda file: _write(table, file), ".arrow", name)
    raw = {ARROW_MARK: uri, **label, "rows": table.num_rows, "sha256": digest(), **about}
    (_known if kind.name == _ARROW else _passed).add(value, blobs, raw)
    return raw


def _check(table: Any, columns: Columns) -> None:
    try:
        check_schema(table.schema, columns)
    except ValueError as error:
        raise CannotStoreError(str(error)) from error


def _write(table: Any, file: IO[bytes]) -> None:
    import pyarrow as pa  # there is a table of it

    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read_table(raw: dict[str, Any], blobs: Blobs) -> Any:
    """Read a stored table as an Arrow one; on this machine's disk it is mapped, and read where it is looked at."""
    import pyarrow as pa  # who has stored the table had imported it

    path = blobs.local_path(raw[ARROW_MARK])
    source = pa.memory_map(path) if path is not None else pa.BufferReader(blobs.get(raw[ARROW_MARK]))
    table = pa.ipc.open_file(source).read_all()
    if "as" not in raw:
        _known.add(table, blobs, raw)
    return table
