"""Seal an Arrow file: its length and a checksum over all its bytes, by which it is known whole, changed or torn.

Both stand in the metadata of its schema, which an Arrow file holds twice, in its head and in its end. So one change
leaves one of the two right, and a file that is neither sound nor as long as it says anywhere was never wholly written.
Pure: knows nothing of what is in the file.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from flyte_ray.errors import StoreDamagedError

if TYPE_CHECKING:
    import pyarrow as pa

_SUM: Final = b"crc32="
_SIZE: Final = b"size="
_SIZE_KEY: Final = "flyte_ray.size"
_SUM_KEY: Final = "flyte_ray.checksum"
_BLANK_SUM: Final = _SUM + b"00000000"
_BLANK_SIZE: Final = _SIZE + b"000000000000"
_MAGIC: Final = b"ARROW1"


def write_sealed(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, about: dict[str, str], options: Any = None
) -> bytes:
    """Write a sealed Arrow file; of one that is large this keeps no second copy meanwhile.

    Args:
        batches: Its rows.
        schema: Their schema.
        about: The schema's metadata; must hold nothing that looks like our marks.
        options: `pyarrow.ipc.IpcWriteOptions`.

    """
    import pyarrow as pa  # slow to import; readers of an empty root do without it

    assert not any(_BLANK_SIZE.decode() in text or _BLANK_SUM.decode() in text for text in about.values()), about
    marks = {_SIZE_KEY: _BLANK_SIZE.decode(), _SUM_KEY: _BLANK_SUM.decode()}
    schema = schema.with_metadata({**about, **marks})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    _fill_in(sink, _BLANK_SIZE, b"%s%012d" % (_SIZE, sink.tell()))
    with sink.getbuffer() as data:
        found = zlib.crc32(data)
    _fill_in(sink, _BLANK_SUM, b"%s%08x" % (_SUM, found))
    return sink.getvalue()


def read_sealed(data: bytes, uri: str) -> tuple[pa.Table, dict[str, str]]:
    """Read a sealed Arrow file; returns its rows and its schema's metadata.

    Raises:
        StoreDamagedError: It is torn or changed; names `uri`.

    """
    import pyarrow as pa  # see write_sealed

    if not _is_sound(data):
        raise StoreDamagedError(
            f"{uri} should be a whole Arrow file, but {'ends too early' if is_torn(data) else 'its checksum differs'}."
            f" Restore it from a copy of the run, if there is one."
        )
    table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    return table, {key.decode(): value.decode() for key, value in table.schema.metadata.items()}


def is_sealed(data: bytes) -> bool:
    """Whether an Arrow file was sealed, as not all were by the first versions; sound or not."""
    return _SUM_KEY.encode() in data


def is_torn(data: bytes) -> bool:
    """Whether bytes are the beginning of a sealed file whose rest was never written; what was changed is not torn."""
    if b"%s%012d" % (_SIZE, len(data)) in data:
        return False
    # Files of the first versions did not say their length: they are known by the mark at an Arrow file's end.
    return _SIZE_KEY.encode() in data or len(data) <= len(_MAGIC) or not data.endswith(_MAGIC)


def _fill(data: bytearray, blank: bytes, filled: bytes) -> None:
    for start in _places(data, blank):
        data[start : start + len(filled)] = filled


def _fill_in(sink: io.BytesIO, blank: bytes, filled: bytes) -> None:
    for start in _places(sink.getvalue(), blank):
        sink.seek(start)
        sink.write(filled)


def _places(data: bytes | bytearray, mark: bytes) -> tuple[int, int]:
    """Find a mark in both schemas; what looks alike between them is the user's."""
    return data.find(mark), data.rfind(mark)


def _is_sound(data: bytes) -> bool:
    start = data.find(_SUM)
    claimed = data[start : start + len(_BLANK_SUM)]
    if start < 0 or len(claimed) < len(_BLANK_SUM):
        return False
    blank = bytearray(data)
    _fill(blank, claimed, _BLANK_SUM)
    return b"%s%08x" % (_SUM, zlib.crc32(blank)) == claimed
