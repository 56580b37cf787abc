"""Turn events into a log segment (an Arrow IPC file) and back.

Invariants: a segment carries its writer, epoch and a checksum over all its bytes; a torn or changed segment is
refused, never read in part. Knows nothing of storage.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Final

from flyte_ray.errors import StoreError
from flyte_ray.ledger.columns import column
from flyte_ray.ledger.events import FORMAT, Event, arrow_schema

_BLANK: Final = b"crc32=00000000"


@dataclass(frozen=True)
class Segment:
    """One object of a run's log."""

    epoch: int
    """How often the run had been opened for writing when this was written, from 1."""
    writer: str
    """Who wrote it: unique for each opening of a run."""
    events: list[Event]


def encode_segment(segment: Segment) -> bytes:
    """Encode as an Arrow IPC file of N rows whose schema metadata holds epoch, writer, format and checksum."""
    import pyarrow as pa  # slow to import; readers of an empty root do without it

    schema = arrow_schema().with_metadata(
        {
            "flyte_ray.format": str(FORMAT),
            "flyte_ray.epoch": str(segment.epoch),
            "flyte_ray.writer": segment.writer,
            "flyte_ray.checksum": _BLANK.decode(),
        }
    )
    columns = list(zip(*segment.events, strict=True)) if segment.events else [()] * len(schema)
    arrays = [column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    blank = sink.getvalue()
    # The schema stands twice in an Arrow file (head and footer): both places are filled, both are blanked to verify.
    return blank.replace(_BLANK, b"crc32=%08x" % zlib.crc32(blank))


def decode_segment(data: bytes, uri: str) -> Segment:
    """Decode and verify a segment.

    Raises:
        StoreError: The bytes are torn, changed, or of a format this version does not know; names `uri`.

    """
    import pyarrow as pa  # see encode_segment

    start = data.find(b"crc32=")
    claimed = data[start : start + len(_BLANK)]
    if start < 0 or b"crc32=%08x" % zlib.crc32(data.replace(claimed, _BLANK)) != claimed:
        raise StoreError(f"{uri} should be a whole log segment, but its checksum differs: torn or changed.")
    table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    meta = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    if int(meta["flyte_ray.format"]) > FORMAT:
        raise StoreError(
            f"{uri} has log format {meta['flyte_ray.format']}, this version reads up to {FORMAT}. Install a newer one."
        )
    columns = [
        (values.cast(pa.int64()) if name == "at" else values).to_pylist()
        for name, values in zip(table.column_names, table.columns, strict=True)
    ]
    events = [Event(*row) for row in zip(*columns, strict=True)]
    return Segment(int(meta["flyte_ray.epoch"]), meta["flyte_ray.writer"], events)
