"""Pack the segments of a run's log into blocks while it is written.

Invariants: nothing is deleted before the block that holds it was read back and found to hold it; `OPEN` records stay
at their positions, because they fence writers that have been replaced, and so do torn segments, behind which such
a writer would otherwise go on; what cannot be packed (it is damaged, or too large) is left as it is.
May be stopped between any two steps, and done by two writers at once: both pack the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from flyte_ray.errors import ObjectMissing, StoreDamagedError
from flyte_ray.ledger import blocks
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.blocks import Part, decode_block, encode_block, read_block
from flyte_ray.ledger.paths import LOG_ENDING, block_key, log_prefix, segment_key
from flyte_ray.ledger.seal import is_torn, read_sealed
from flyte_ray.ledger.segment import require_format
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

MAX_BYTES: Final = 16 << 20
"""Segments that are larger together stay apart: they are few for what they hold, and would be held in memory."""
_log: Final = logging.getLogger("flyte_ray.ledger")


class Packer:
    """Packs one run's log, block after block; called by one thread."""

    def __init__(self, store: Store, run: RunId, epochs: Sequence[int]) -> None:
        """Prepare.

        Args:
            store: The root.
            run: The run.
            epochs: The log's epoch just before each block, which grows with the log.

        """
        self._store, self._run, self._epochs = store, run, epochs
        self._next = 0
        self._present: set[int] | None = None
        """Positions whose segments were there when this was asked first."""

    def is_due(self, end: int) -> bool:
        """Whether the next block lies wholly before a position."""
        return (self._next + 1) * blocks.BLOCK <= end

    def pack(self, end: int) -> bool:
        """Pack the next block that lies wholly before a position, if there is one; returns whether there was.

        Raises:
            StoreError: The store did not answer; that may be tried again.

        """
        if not self.is_due(end):
            return False
        first = self._next * blocks.BLOCK
        try:
            self._pack(first)
        except StoreDamagedError as error:
            _log.warning("segments of run %s are not packed: %s", self._run, error)
        except ObjectMissing:
            return False  # another writer packs the same block at this moment
        self._next += 1
        return True

    def _pack(self, first: int) -> None:
        last = blocks.last_of(first)
        packed = read_block(self._store, self._run, first)
        if packed is None:
            parts, torn = self._read(first, last)
            if not parts:
                return
            key = block_key(self._run, first, last)
            data = encode_block(parts)
            self._store.put_if_absent(key, data)
            packed = decode_block(self._store.get(key), f"{self._store.uri}/{key}")
            if not _are_equal(packed, parts):
                raise StoreDamagedError(f"{self._store.uri}/{key} does not hold the segments that it stands for.")
            left = set(range(first, last + 1))
        else:
            left = {at for at in range(first, last + 1) if at in self._present_first()}
            torn = {at for at in left if self._is_torn(at)}
        opening = {part.position for part in packed if _opens(part)}
        self._store.delete([segment_key(self._run, at) for at in sorted(left - opening - torn)])

    def _is_torn(self, at: int) -> bool:
        try:
            return is_torn(self._store.get(segment_key(self._run, at)))
        except ObjectMissing:
            return False

    def _present_first(self) -> set[int]:
        if self._present is None:
            names = (key.rpartition("/")[2].removesuffix(LOG_ENDING) for key in self._store.keys(log_prefix(self._run)))
            self._present = {int(name) for name in names if name.isdigit()}
        return self._present

    def _read(self, first: int, last: int) -> tuple[list[Part], set[int]]:
        """Read segments that are to be packed, none if they are to stay; and which positions are torn."""
        parts: list[Part] = []
        torn: set[int] = set()
        size, epoch = 0, self._epochs[blocks.number_of(first)]
        for at in range(first, last + 1):
            key = segment_key(self._run, at)
            data = self._store.get(key)
            size += len(data)
            if size > MAX_BYTES:
                return [], torn
            if is_torn(data):
                torn.add(at)
                continue
            rows, about = read_sealed(data, f"{self._store.uri}/{key}")
            require_format(about, f"{self._store.uri}/{key}")
            if int(about["flyte_ray.epoch"]) >= epoch:
                epoch = int(about["flyte_ray.epoch"])
                parts.append(Part(at, epoch, about["flyte_ray.writer"], rows))
        return parts, torn


def _opens(part: Part) -> bool:
    return len(part.rows) > 0 and part.rows.column("kind")[0].as_py() == kinds.OPEN


def _are_equal(ours: list[Part], others: list[Part]) -> bool:
    def heads(parts: list[Part]) -> list[tuple[int, int, str]]:
        return [(part.position, part.epoch, part.writer) for part in parts]

    return heads(ours) == heads(others) and all(
        mine.rows.equals(theirs.rows) for mine, theirs in zip(ours, others, strict=True)
    )
