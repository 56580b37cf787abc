"""Keep many segments of a log in one object: a block, which holds the same events in the same order.

A block takes the place of the `BLOCK` segments from a multiple of `BLOCK` on. Void and torn ones are left out of it.
Invariants: a block is written only where all its positions are taken, and never changed; while segments of it are
deleted, and after, readers find in it what is missing. Knows nothing of who writes when (`ledger/packing.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.events import FORMAT, arrow_schema
from flyte_ray.ledger.paths import block_key
from flyte_ray.ledger.seal import read_sealed, write_sealed
from flyte_ray.ledger.segment import Segment, Take, events_of, require_format
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK: Final = 64
"""Segments in a block."""


@dataclass(frozen=True)
class Part:
    """One segment in a block."""

    position: int
    epoch: int
    writer: str
    rows: pa.Table

    def segment(self, take: Take | None = None) -> Segment:
        """Return the segment as it was read before."""
        return Segment(self.epoch, self.writer, (take or events_of)(self.rows))


def number_of(position: int) -> int:
    """Return the number of the block that a position belongs to, from 0."""
    return position // BLOCK


def first_of(position: int) -> int:
    """Return the first position of the block that a position belongs to."""
    return position - position % BLOCK


def last_of(position: int) -> int:
    """Return the last position of the block that a position belongs to."""
    return first_of(position) + BLOCK - 1


def encode_block(parts: list[Part]) -> bytes:
    """Encode as a sealed Arrow IPC file in the log's schema; its metadata says which rows were which segment."""
    import pyarrow as pa  # slow to import; only long logs have blocks

    about = {
        "flyte_ray.format": str(FORMAT),
        "flyte_ray.epoch": str(max(part.epoch for part in parts)),
        "flyte_ray.parts": json.dumps([(part.position, part.epoch, part.writer, len(part.rows)) for part in parts]),
    }
    schema = arrow_schema()
    rows = pa.concat_tables([part.rows.replace_schema_metadata(None) for part in parts]).combine_chunks()
    compression = "zstd" if pa.Codec.is_available("zstd") else None
    return write_sealed(rows.to_batches(), schema, about, pa.ipc.IpcWriteOptions(compression=compression))


def decode_block(data: bytes, uri: str) -> list[Part]:
    """Decode and verify a block.

    Raises:
        StoreDamagedError: The bytes are torn, changed, or of a format this version does not know; names `uri`.

    """
    rows, about = read_sealed(data, uri)
    require_format(about, uri)
    parts, start = [], 0
    for position, epoch, writer, count in json.loads(about["flyte_ray.parts"]):
        parts.append(Part(position, epoch, writer, rows.slice(start, count)))
        start += count
    return parts


def read_block(store: Store, run: RunId, position: int) -> list[Part] | None:
    """Return the block that a position belongs to; None if its segments are not packed.

    Raises:
        StoreDamagedError: It is torn or changed; names the object.

    """
    key = block_key(run, first_of(position), last_of(position))
    try:
        data = store.get(key)
    except ObjectMissing:
        return None
    return decode_block(data, f"{store.uri}/{key}")
