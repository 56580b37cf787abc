"""Turn events into a log segment (an Arrow IPC file) and back.

Invariants: a segment carries its writer and epoch, and is sealed: a torn or changed one is refused, never read in part,
and the two are told apart. Knows nothing of storage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from flyte_ray.errors import StoreDamagedError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.columns import column
from flyte_ray.ledger.events import FORMAT, Event, arrow_schema
from flyte_ray.ledger.seal import read_sealed, write_sealed

if TYPE_CHECKING:
    import pyarrow as pa


_VALUES: Final = (kinds.CALLED, kinds.SUCCEEDED, kinds.RECOVERED, kinds.LOGGED)
"""Events whose bodies are inputs, outputs, and what was printed."""
_REPEATED: Final = frozenset({"kind", "parent", "task", "group", "slot", "context"})
"""Columns with few different texts: each is kept once, which is a fifth of the memory that a run takes."""


@dataclass(frozen=True)
class Segment:
    """One object of a run's log."""

    epoch: int
    """How often the run had been opened for writing when this was written, from 1."""
    writer: str
    """Who wrote it: unique for each opening of a run."""
    events: list[Event]

    @property
    def opens(self) -> bool:
        """Whether a writer took the run with it."""
        return bool(self.events) and self.events[0].kind == kinds.OPEN


def encode_segment(segment: Segment) -> bytes:
    """Encode as a sealed Arrow IPC file of N rows whose schema metadata holds epoch, writer and format."""
    import pyarrow as pa  # slow to import; readers of an empty root do without it

    schema = arrow_schema()
    columns = list(zip(*segment.events, strict=True)) if segment.events else [()] * len(schema)
    arrays = [column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    about = {
        "flyte_ray.format": str(FORMAT),
        "flyte_ray.epoch": str(segment.epoch),
        "flyte_ray.writer": segment.writer,
    }
    return write_sealed([pa.record_batch(arrays, schema=schema)], schema, about)


Take: TypeAlias = "Callable[[pa.Table], list[Event]]"
"""Makes events of rows of the log: of all, or of some, but of each that opens a run."""


def decode_segment(data: bytes, uri: str, take: Take | None = None) -> Segment:
    """Decode and verify a segment; its events are those that `take` makes of its rows, by default all.

    Raises:
        StoreDamagedError: The bytes are torn, changed, or of a format this version does not know; names `uri`.

    """
    table, about = read_sealed(data, uri)
    require_format(about, uri)
    return Segment(int(about["flyte_ray.epoch"]), about["flyte_ray.writer"], (take or events_of)(table))


def require_format(about: dict[str, str], uri: str) -> None:
    """Refuse what a later version wrote.

    Raises:
        StoreDamagedError: It is of a format this version does not know.

    """
    if int(about["flyte_ray.format"]) > FORMAT:
        raise StoreDamagedError(
            f"{uri} has log format {about['flyte_ray.format']}, this version reads up to {FORMAT}. Install a newer one."
        )


def events_of(table: pa.Table) -> list[Event]:
    """Return the events in the rows of a table of the log's schema."""
    import pyarrow as pa  # see encode_segment

    columns = [
        _shared(values) if name in _REPEATED else (values.cast(pa.int64()) if name == "at" else values).to_pylist()
        for name, values in zip(table.column_names, table.columns, strict=True)
    ]
    return [Event(*row) for row in zip(*columns, strict=True)]


def _shared(values: pa.ChunkedArray) -> list[str | None]:
    """Return texts, each different one as one object."""
    found: list[str | None] = []
    for chunk in values.dictionary_encode().chunks:
        texts = [*chunk.dictionary.to_pylist(), None]
        found += [texts[-1 if number is None else number] for number in chunk.indices.to_pylist()]
    return found


def events_without_values(table: pa.Table) -> list[Event]:
    """Return the events without what was printed, inputs, outputs and contexts, which may be large."""
    import pyarrow as pa  # see encode_segment
    import pyarrow.compute as pc

    nothing = pa.nulls(len(table), pa.string())
    bodies = pc.if_else(_is_one_of(table["kind"], _VALUES), nothing, table["body"])
    for name, values in (("body", bodies), ("context", nothing)):
        table = table.set_column(table.column_names.index(name), name, values)
    return events_of(table)


def events_about(action: str, table: pa.Table) -> list[Event]:
    """Return the events of one action."""
    import pyarrow.compute as pc  # see encode_segment

    is_ours, opens = _is_one_of(table["action"], (action,)), _is_one_of(table["kind"], (kinds.OPEN,))
    return events_of(table.filter(pc.or_(is_ours, opens)))


def _is_one_of(values: pa.ChunkedArray, texts: Sequence[str]) -> pa.ChunkedArray:
    """Tell of each value whether it is one of some texts; to compare with a plain one would import pandas."""
    import pyarrow as pa  # see encode_segment
    import pyarrow.compute as pc

    return pc.is_in(values, value_set=column(texts, pa.string()))
