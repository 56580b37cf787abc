"""Keep one run's log: a sequence of positions, each written once.

Invariants: the log ends at its first missing position; a position is taken with put-if-absent and never rewritten;
segments of a lower epoch behind an `OPEN` record are void; a writer that meets a higher epoch is fenced and stops.
The store alone decides who writes: no clock, no lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from flyte_ray.errors import ObjectMissing, RunFencedError, StoreError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import FORMAT, Event
from flyte_ray.ledger.paths import segment_key
from flyte_ray.ledger.segment import Segment, decode_segment, encode_segment
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

FaultPoint = Callable[[str], None]
"""Called with a point's name just before and after each step that a crash could separate; does nothing by default."""


def no_fault(point: str) -> None:
    """Let every point pass."""


def read_segments(store: Store, run: RunId, position: int = 0) -> Iterator[tuple[int, Segment]]:
    """Yield the valid segments from a position on, in order, leaving out void ones.

    A segment that fails its checksum ends the log if nothing follows it, else it is an error that names the object.
    """
    epoch = 0
    while True:
        try:
            data = store.get(segment_key(run, position))
        except ObjectMissing:
            return
        try:
            segment = decode_segment(data, f"{store.uri}/{segment_key(run, position)}")
        except StoreError:
            if not _is_dropped_tail(store, run, position):
                raise
            position += 1
            continue
        if segment.epoch >= epoch:
            epoch = segment.epoch
            yield position, segment
        position += 1


def _is_dropped_tail(store: Store, run: RunId, position: int) -> bool:
    # A bad segment is forgiven where nothing had been acknowledged behind it: at the log's end, or where the next
    # writer met it at the end and put its OPEN record behind it.
    try:
        behind = decode_segment(store.get(segment_key(run, position + 1)), segment_key(run, position + 1))
    except ObjectMissing:
        return True
    return bool(behind.events) and behind.events[0].kind == kinds.OPEN


class RunLog:
    """The writing end of one run's log, valid until another writer opens the run."""

    def __init__(self, store: Store, run: RunId, writer: str, fault: FaultPoint = no_fault) -> None:
        """Prepare a writer; `open` takes the run."""
        self._store = store
        self._run = run
        self._writer = writer
        self._fault = fault
        self.epoch = 0
        self.position = 0

    def open(self, holder: str, now_us: int) -> list[Event]:
        """Read all that is stored and take the run with an `OPEN` record behind it.

        Returns:
            Every valid event, oldest first, without the new `OPEN` record; empty for a new run.

        """
        found: list[Event] = []
        while True:
            for position, segment in read_segments(self._store, self._run, self.position):
                self.epoch = max(self.epoch, segment.epoch)
                self.position = position + 1
                found.extend(segment.events)
            # A void or torn tail occupies positions too: step over what exists.
            while self._store.exists(segment_key(self._run, self.position)):
                self.position += 1
            body = json.dumps({"epoch": self.epoch + 1, "holder": holder, "format": FORMAT})
            record = Segment(self.epoch + 1, self._writer, [Event(kinds.OPEN, now_us, body=body)])
            if self._store.put_if_absent(segment_key(self._run, self.position), encode_segment(record)):
                self.epoch += 1
                self.position += 1
                return found

    def append(self, events: list[Event]) -> int:
        """Store events at the next position and return that position.

        Raises:
            RunFencedError: Another writer has opened the run since; nothing of `events` is stored.
            StoreError: The store did not answer; the call may be repeated with the same events.

        """
        data = encode_segment(Segment(self.epoch, self._writer, events))
        while True:
            key = segment_key(self._run, self.position)
            self._fault("before append")
            stored = self._store.put_if_absent(key, data)
            self._fault("after append")
            if not stored:
                there = self._store.get(key)
                if there != data:
                    other = decode_segment(there, f"{self._store.uri}/{key}")
                    if other.epoch > self.epoch:
                        raise RunFencedError(
                            f"Run {self._run!r} is continued by another ledger (epoch {other.epoch}, ours is"
                            f" {self.epoch}); this one has stopped working on it."
                        )
                    self.position += 1  # a void segment of a writer that we have fenced
                    continue
            self.position += 1
            return self.position - 1
