"""Keep one run's log: a sequence of positions, each written once.

Invariants: the log ends at its first missing position; a position is taken with put-if-absent and never rewritten;
segments of a lower epoch behind an `OPEN` record are void; a writer that meets a higher epoch is fenced and stops.
The store alone decides who writes: no clock, no lock. A torn segment counts as never written where nothing rests on it;
a changed one is an error that names it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator

from flyte_ray.errors import ObjectMissing, RunFencedError, StoreDamagedError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.blocks import first_of, last_of, number_of, read_block
from flyte_ray.ledger.events import FORMAT, Event
from flyte_ray.ledger.packing import Packer
from flyte_ray.ledger.paths import block_key, segment_key
from flyte_ray.ledger.seal import is_torn
from flyte_ray.ledger.segment import Segment, Take, decode_segment, encode_segment
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.storage.patient import Patience, PatientStore

_log = logging.getLogger("flyte_ray.ledger")


def read_segments(
    store: Store, run: RunId, position: int = 0, epoch: int = 0, take: Take | None = None
) -> Iterator[tuple[int, Segment]]:
    """Yield the valid segments from a position on, in order, leaving out void and torn ones.

    Args:
        store: The root.
        run: Whose they are.
        position: The first one.
        epoch: The epoch of the one before: what has a lower one is void.
        take: Which of their events; by default all.

    Raises:
        StoreDamagedError: A segment is changed, or torn where others rest on it; names the object.

    """
    found = _read_positions(store, run, position, epoch, take)
    yield from ((at, segment) for at, segment in found if segment is not None)


def _read_positions(
    store: Store, run: RunId, position: int, epoch: int, take: Take | None = None
) -> Iterator[tuple[int, Segment | None]]:
    """Yield every position that is taken, with its segment, None where that is void or torn."""
    torn: StoreDamagedError | None = None
    for at, segment in _read_stored(store, run, position, take):
        if isinstance(segment, StoreDamagedError):
            torn = torn or segment
            yield at, None
            continue
        if segment is None:
            yield at, None
            continue
        if torn is not None and not segment.opens:
            raise torn  # only who takes the run steps over what is torn
        torn = None
        yield at, segment if segment.epoch >= epoch else None
        epoch = max(epoch, segment.epoch)
    if torn is not None:
        _log.warning("the end of the log of run %s was never wholly written, and is left out: %s", run, torn)


def _read_stored(
    store: Store, run: RunId, at: int, take: Take | None
) -> Iterator[tuple[int, Segment | StoreDamagedError | None]]:
    """Yield what lies at each position, an error where that is torn; of a block also its last one, be it left out.

    What is missing may have been packed, also a moment ago. So may what was there before an `OPEN` record, of a writer
    that read the log's end long ago and found its position free again, see `RunLog._take`. Not so at position 0: there
    the log was opened first, and that stays.
    """
    while True:
        found = _read_object(store, run, at, take)
        is_doubtful = at > 0 and (found is None or (isinstance(found, Segment) and found.opens))
        block = read_block(store, run, at) if is_doubtful else None
        if block is not None:
            yield from ((part.position, part.segment(take)) for part in block if part.position >= at)
            at = last_of(at) + 1
            if block[-1].position < at - 1:
                yield at - 1, None
        elif found is None:
            return
        else:
            yield at, found
            at += 1


def _read_object(store: Store, run: RunId, at: int, take: Take | None) -> Segment | StoreDamagedError | None:
    key = segment_key(run, at)
    try:
        data = store.get(key)
        return decode_segment(data, f"{store.uri}/{key}", take)
    except ObjectMissing:
        return None
    except StoreDamagedError as error:
        if not is_torn(data):
            raise
        return error


class RunLog:
    """The writing end of one run's log, valid until another writer opens the run."""

    def __init__(self, store: Store, run: RunId, writer: str) -> None:
        """Prepare a writer; `open` takes the run."""
        self.patience = Patience(f"run {run}")
        """Says why the store does not answer, and may be limited."""
        self._bare = store
        self._store = PatientStore(store, self.patience)
        self._run = run
        self._writer = writer
        self._holder = ""
        self._behind_torn = False
        self.epoch = 0
        self.position = 0
        self._epochs: list[int] = []
        self._packer = Packer(store, run, self._epochs)

    def open(self, holder: str, now_us: int, hear: Callable[[Event], None]) -> None:
        """Read all that is stored and take the run with an `OPEN` record behind it.

        Args:
            holder: Who takes it, for people.
            now_us: When.
            hear: Gets every valid event, oldest first, without the new `OPEN` record. A long log is never held whole.

        """
        self._holder = holder
        while True:
            for position, segment in _read_positions(self._store, self._run, self.position, self.epoch):
                self._note_block(position)
                self.position = position + 1
                if segment is not None:
                    self.epoch = segment.epoch
                    for event in segment.events:
                        hear(event)
            self._note_block(self.position)
            # Refused, another one has written meanwhile: that is read first.
            if self._take(segment_key(self._run, self.position), self._opening(now_us)):
                self.epoch += 1
                self.position += 1
                return

    def _take(self, key: str, opening: bytes) -> bool:
        block = block_key(self._run, first_of(self.position), last_of(self.position))
        # If there is the block, it was not the log's end any more, but free again: nobody reads what we have put there.
        # It stays, because it may be in the block, as the record of our having taken the run a while ago.
        return self._store.put_if_absent(key, opening) and not (self.position and self._store.exists(block))

    def append(self, events: list[Event]) -> int:
        """Store events at the next position and return that position; waits for a store that does not answer.

        Raises:
            RunFencedError: Another writer has opened the run since, or the log cannot be continued; nothing of `events`
                is stored.
            StoreError: The store did not answer and `patience` is over; the call may be repeated with the same events.

        """
        while True:
            if self._behind_torn:
                if self._place(self._opening(events[0].at)):
                    self.epoch += 1
                    self._behind_torn = False
            elif self._place(encode_segment(Segment(self.epoch, self._writer, events))):
                return self.position - 1

    @property
    def has_to_pack(self) -> bool:
        """Whether 64 segments are stored that should be one object."""
        return self._packer.is_due(self.position)

    def pack(self) -> bool:
        """Put the next 64 segments, if so many are stored, into one object; returns whether there were.

        Called by one thread, beside that which appends.

        Raises:
            StoreError: The store did not answer; that may be tried again.

        """
        return self._packer.pack(self.position)

    def _note_block(self, position: int) -> None:
        if len(self._epochs) <= number_of(position):
            self._epochs.append(self.epoch)

    def _opening(self, now_us: int) -> bytes:
        body = json.dumps({"epoch": self.epoch + 1, "holder": self._holder, "format": FORMAT})
        return encode_segment(Segment(self.epoch + 1, self._writer, [Event(kinds.OPEN, now_us, body=body)]))

    def _place(self, data: bytes) -> bool:
        """Put a segment at our position; False if that is taken, and to be stepped over."""
        key = segment_key(self._run, self.position)
        self._note_block(self.position)
        # What lies there may be ours, if an earlier try was thought to be lost.
        there = data if self._store.put_if_absent(key, data) else self._store.get(key)
        if there != data:
            self._check(there, f"{self._store.uri}/{key}")
        self.position += 1
        return there == data

    def _check(self, there: bytes, uri: str) -> None:
        """Look at what another one has put at our position.

        Raises:
            RunFencedError: It may not be stepped over.

        """
        try:
            other = decode_segment(there, uri)
        except StoreDamagedError as error:
            if not is_torn(there):
                raise RunFencedError(f"Run {self._run!r} cannot be continued: {error}") from error
            # Readers pass over it only where somebody has taken the run behind it.
            self._behind_torn = True
            return
        self._yield_to(other)
        # Else it is void: of a writer that we have fenced.

    def check(self) -> None:
        """Look whether the run is still this writer's, without writing; another thread may append meanwhile.

        Raises:
            RunFencedError: Another writer has opened the run since.
            StoreError: The store did not answer.

        """
        position = self.position
        while True:
            key = segment_key(self._run, position)
            try:
                there = self._bare.get(key)
            except ObjectMissing:
                return
            with contextlib.suppress(StoreDamagedError):  # `append` says what is to be done about that
                self._yield_to(decode_segment(there, f"{self._bare.uri}/{key}"))
            position += 1

    def _yield_to(self, other: Segment) -> None:
        if other.epoch > self.epoch:
            holder = json.loads(other.events[0].body or "{}").get("holder") if other.opens else None
            raise RunFencedError(
                f"Run {self._run!r} is continued by another ledger{f', {holder}' if holder else ''}; this one has"
                f" stopped working on it. 'flyte-ray get run {self._run}' shows how it stands."
            )
