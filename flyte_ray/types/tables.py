"""Arrow tables, which lie beside the log."""

from __future__ import annotations

import hashlib
from typing import Any

from flyte_ray.types.form import Form, MismatchError
from flyte_ray.types.marks import ARROW_MARK
from flyte_ray.types.place import Blobs


def table_form(cls: Any) -> Form:
    """Describe `pyarrow.Table`."""

    def check(value: Any) -> None:
        if not isinstance(value, cls):
            raise MismatchError("pyarrow.Table", value)

    return Form("pyarrow.Table", check, _dump_table, load_table, "object", frozenset({cls}), told=True)


def is_table(cls: Any) -> bool:
    """Tell `pyarrow.Table` without importing pyarrow."""
    return getattr(cls, "__module__", "").split(".")[0] == "pyarrow" and getattr(cls, "__name__", "") == "Table"


def _dump_table(table: Any, blobs: Blobs) -> Any:
    import pyarrow as pa  # the user's annotation named it

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    return {ARROW_MARK: blobs.put(data, ".arrow"), "rows": table.num_rows, "sha256": hashlib.sha256(data).hexdigest()}


def load_table(raw: Any, blobs: Blobs) -> Any:
    """Read a stored table."""
    import pyarrow as pa  # the user's annotation named it

    return pa.ipc.open_file(pa.BufferReader(blobs.get(raw[ARROW_MARK]))).read_all()
