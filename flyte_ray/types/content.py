"""Digest a table by its content.

Invariants: equal tables have equal digests in every process, however they are cut into chunks, where a chunk begins in
its buffers, and whatever lies in the slots of nulls; the order of rows and columns counts, because code may depend on
it. Nothing is copied that need not be: what is large is hashed where it lies, on several threads.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

ROWS: Final = 1 << 20
"""Rows of a column that are hashed as one."""
THREADS: Final = 4
_STABLE: Final = ("index_columns", "column_indexes", "columns", "attributes")
"""What of pandas' own description of a table is a part of its content; the rest names versions."""


def table_digest(table: Any, about: str = "", *, dictionaries: bool = False) -> str:
    """Digest a `pyarrow.Table`.

    Args:
        table: The table.
        about: What else tells it from others.
        dictionaries: Categories that no row has count, too.

    """
    schema = table.schema
    fields = [(field.name, str(field.type), _metadata(field.metadata)) for field in schema]
    described = about, table.num_rows, fields, _metadata(schema.metadata)
    details = [("not null", field.name) for field in schema if not field.nullable]
    details += [found for field in schema for found in _details(field, field.name)]
    found = hashlib.sha256(repr((*described, details) if details else described).encode())
    pieces = [column.slice(start, ROWS) for column in table.columns for start in range(0, table.num_rows, ROWS)]
    if dictionaries:
        pieces += list(_dictionaries(table))
    if table.nbytes < ROWS:
        parts: Any = map(_digest_column, pieces)
    else:
        with ThreadPoolExecutor(THREADS, "flyte-ray-hash") as pool:
            parts = list(pool.map(_digest_column, pieces))
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _metadata(metadata: Any) -> list[tuple[bytes, Any]]:
    return [(key, _pandas(value) if key == b"pandas" else value) for key, value in sorted((metadata or {}).items())]


def _details(field: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield what the text of a field's type leaves out; most fields have none of it."""
    import pyarrow as pa  # who has a table has imported it

    kind = field.type
    if isinstance(kind, pa.ExtensionType):
        yield path, kind.__arrow_ext_serialize__()
        kind = kind.storage_type
    elif isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    for part in (kind.field(place) for place in range(kind.num_fields)):
        if part.metadata:
            yield f"{path}.{part.name}", _metadata(part.metadata)
        yield from _details(part, f"{path}.{part.name}")


def _pandas(text: bytes) -> str:
    about = json.loads(text)
    return json.dumps({key: about.get(key) for key in _STABLE}, sort_keys=True)


def _dictionaries(table: Any) -> Iterator[Any]:
    import pyarrow as pa  # who has a table has imported it

    for column in table.columns:
        if pa.types.is_dictionary(column.type) and column.num_chunks:
            yield pa.chunked_array([column.chunk(0).dictionary])


class _Streams(defaultdict[str, Any]):
    """A hash for each kind of bytes of a column, so that it does not matter which of them a chunk brings first."""

    def __init__(self) -> None:
        super().__init__(hashlib.sha256)

    def digest(self) -> bytes:
        return b"".join(name.encode() + found.digest() for name, found in sorted(self.items()))


def _digest_column(column: Any) -> bytes:
    streams = _Streams()
    for chunk in column.chunks:
        _feed(chunk, "", streams, nullable=column.null_count > 0)
    return hashlib.sha256(streams.digest()).digest()


def _feed(array: Any, path: str, streams: _Streams, *, nullable: bool = True) -> None:
    """Hash a chunk, its children below their paths."""
    import pyarrow as pa  # who has a table has imported it

    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    elif pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    feed = _feeder(array.type)
    if nullable:
        streams[f"{path}?"].update(_bytes_of(array.is_valid()))
        array = array.drop_null() if array.null_count and feed is not _feed_values else array
    feed(array, path, streams)


def _feeder(kind: Any) -> Callable[[Any, str, _Streams], None]:
    from pyarrow import types  # see _feed

    if types.is_boolean(kind):
        return _feed_booleans
    if types.is_struct(kind):
        return _feed_fields
    if types.is_list(kind) or types.is_large_list(kind):
        return _feed_lists
    if types.is_fixed_size_list(kind):
        return _feed_elements
    if any(fits(kind) for fits in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)):
        return _feed_texts
    is_number = types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind)
    return _feed_numbers if is_number else _feed_values


def _feed_booleans(array: Any, path: str, streams: _Streams) -> None:
    streams[path].update(_bytes_of(array))


def _feed_numbers(array: Any, path: str, streams: _Streams) -> None:
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    if len(array) and data is not None:
        streams[path].update(memoryview(data)[array.offset * width : (array.offset + len(array)) * width])


def _feed_texts(array: Any, path: str, streams: _Streams) -> None:
    import pyarrow as pa  # see _feed
    import pyarrow.compute as pc

    _feed(pc.binary_length(array).cast("int64"), f"{path}#", streams, nullable=False)
    _, offsets, data = array.buffers()
    if len(array) and data is not None:
        wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        count = array.offset + len(array) + 1
        ends = pa.Array.from_buffers(pa.int64() if wide else pa.int32(), count, [None, offsets])
        streams[path].update(memoryview(data)[ends[array.offset].as_py() : ends[-1].as_py()])


def _feed_lists(array: Any, path: str, streams: _Streams) -> None:
    import pyarrow.compute as pc  # see _feed

    _feed(pc.list_value_length(array).cast("int64"), f"{path}#", streams, nullable=False)
    _feed_elements(array, path, streams)


def _feed_elements(array: Any, path: str, streams: _Streams) -> None:
    _feed(array.flatten(), f"{path}[]", streams)


def _feed_fields(array: Any, path: str, streams: _Streams) -> None:
    for place, child in enumerate(array.flatten()):
        _feed(child, f"{path}.{place}", streams)


def _feed_values(array: Any, path: str, streams: _Streams) -> None:
    """Hash maps, unions, nulls and what is yet to come, as what Python makes of them."""
    for value in array.to_pylist():
        streams[path].update(repr(value).encode() + b"\0")


def _bytes_of(array: Any) -> memoryview:
    """Return booleans as one byte each: their bits begin anywhere."""
    return memoryview(array.cast("uint8").buffers()[1] or b"")[: len(array)]
