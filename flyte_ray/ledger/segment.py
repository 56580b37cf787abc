"""Turn events into a log segment (an Arrow IPC file) and back.

Invariants: a segment carries its writer, epoch, length and a checksum over all its bytes; a torn or changed segment is
refused, never read in part, and the two are told apart. Knows nothing of storage.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Final

from flyte_ray.errors import StoreDamagedError
from flyte_ray.ledger.columns import column
from flyte_ray.ledger.events import FORMAT, Event, arrow_schema

_SUM: Final = b"crc32="
_SIZE: Final = b"size="
_SIZE_KEY: Final = "flyte_ray.size"
_BLANK_SUM: Final = _SUM + b"00000000"
_BLANK_SIZE: Final = _SIZE + b"000000000000"
_MAGIC: Final = b"ARROW1"


@dataclass(frozen=True)
class Segment:
    """One object of a run's log."""

    epoch: int
    """How often the run had been opened for writing when this was written, from 1."""
    writer: str
    """Who wrote it: unique for each opening of a run."""
    events: list[Event]


def encode_segment(segment: Segment) -> bytes:
    """Encode as an Arrow IPC file of N rows whose schema metadata holds epoch, writer, format, length and checksum."""
    import pyarrow as pa  # slow to import; readers of an empty root do without it

    schema = arrow_schema().with_metadata(
        {
            "flyte_ray.format": str(FORMAT),
            "flyte_ray.epoch": str(segment.epoch),
            "flyte_ray.writer": segment.writer,
            _SIZE_KEY: _BLANK_SIZE.decode(),
            "flyte_ray.checksum": _BLANK_SUM.decode(),
        }
    )
    columns = list(zip(*segment.events, strict=True)) if segment.events else [()] * len(schema)
    arrays = [column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    data = bytearray(sink.getvalue())
    _fill(data, _BLANK_SIZE, b"%s%012d" % (_SIZE, len(data)))
    _fill(data, _BLANK_SUM, b"%s%08x" % (_SUM, zlib.crc32(data)))
    return bytes(data)


def decode_segment(data: bytes, uri: str) -> Segment:
    """Decode and verify a segment.

    Raises:
        StoreDamagedError: The bytes are torn, changed, or of a format this version does not know; names `uri`.

    """
    import pyarrow as pa  # see encode_segment

    if not _is_sound(data):
        raise StoreDamagedError(
            f"{uri} should be a whole log segment, but {'ends too early' if is_torn(data) else 'its checksum differs'}."
            f" Restore it from a copy of the run, if there is one."
        )
    table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    meta = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    if int(meta["flyte_ray.format"]) > FORMAT:
        raise StoreDamagedError(
            f"{uri} has log format {meta['flyte_ray.format']}, this version reads up to {FORMAT}. Install a newer one."
        )
    columns = [
        (values.cast(pa.int64()) if name == "at" else values).to_pylist()
        for name, values in zip(table.column_names, table.columns, strict=True)
    ]
    events = [Event(*row) for row in zip(*columns, strict=True)]
    return Segment(int(meta["flyte_ray.epoch"]), meta["flyte_ray.writer"], events)


def is_torn(data: bytes) -> bool:
    """Whether bytes are the beginning of a segment whose rest was never written; what was changed is not torn.

    A segment says twice how long it is, in its head and in its end, so that one change leaves one of them right.
    """
    if b"%s%012d" % (_SIZE, len(data)) in data:
        return False
    # Segments of the first versions did not say it: they are known by the mark at an Arrow file's end.
    return _SIZE_KEY.encode() in data or len(data) <= len(_MAGIC) or not data.endswith(_MAGIC)


def _fill(data: bytearray, blank: bytes, filled: bytes) -> None:
    """Fill in the schema, which stands in an Arrow file's head and in its end; what is alike between is the user's."""
    for start in (data.find(blank), data.rfind(blank)):
        data[start : start + len(filled)] = filled


def _is_sound(data: bytes) -> bool:
    start = data.find(_SUM)
    claimed = data[start : start + len(_BLANK_SUM)]
    if start < 0 or len(claimed) < len(_BLANK_SUM):
        return False
    blank = bytearray(data)
    _fill(blank, claimed, _BLANK_SUM)
    return b"%s%08x" % (_SUM, zlib.crc32(blank)) == claimed
