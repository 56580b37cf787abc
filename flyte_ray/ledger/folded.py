"""Keep runs folded for who looks at them again and again: what is new is folded onto what was read before.

Invariants: a folded run holds no values but those of the action that was looked at last: neither inputs nor outputs nor
what was printed, and of errors their first words, so that 50,000 actions take some 50 MB; which log is read is decided
by the log's own rules.
"""

from __future__ import annotations

import contextlib
import gc
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.cutoff import Hold, hold_of
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.excerpt import read_events
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.segment import events_without_values
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store

MOST_ACTIONS: Final = 120_000
"""Actions of all runs that are kept folded, unless one run has more by itself."""
FRESH_S: Final = 0.2
"""How long what was read counts as new."""
SAME_S: Final = 10.0
"""How long a name counts as the same run's, so that one which was deleted and made anew is noticed."""
HOLD_S: Final = 2.0
"""How long what was seen of its holder counts."""
WORDS: Final = 400
"""Characters of an error's message that are kept."""
MOST_KEPT: Final = 1 << 20
"""Characters of the record of one action that are kept for who looks at it each second."""


class Ended(NamedTuple):
    """An earlier attempt of an action; times are microseconds since the epoch."""

    queued_us: int
    started_us: int
    ended_us: int
    outcome: str
    """`retried` or `lost`."""


class Traced(NamedTuple):
    """A step that an action's attempt has recorded."""

    name: str
    seconds: float
    has_succeeded: bool


class Looked(NamedTuple):
    """The record of the action that was looked at last, as far as it was read."""

    action: str
    places: int
    events: list[Event]


class FoldedRun:
    """One run as it is on record, without its values; safe to use from many threads with `lock` held."""

    def __init__(self, store: Store, run: RunId) -> None:
        """Read a run's start; `refresh` reads its log.

        Raises:
            RunNotFoundError: The root holds no such run.

        """
        self.lock = threading.RLock()
        self.spec = load_spec(store, run)
        self.position = 0
        """Position of the first segment that was not read."""
        self.state = RunState(run)
        self.rows: list[str] = []
        """Ids of the actions, in the order of their calls."""
        self.changed: dict[str, int] = {}
        """For each action behind which position it has changed last."""
        self.places: dict[str, tuple[int, ...]] = {}
        """For each action the positions of the segments that hold some of it besides what it printed."""
        self.printed: dict[str, list[int]] = {}
        """For each action that printed the positions of the segments that hold some of that."""
        self.earlier: dict[str, list[Ended]] = {}
        """Attempts of actions that another one followed."""
        self.traced: dict[str, list[Traced]] = {}
        self.texts: dict[str, tuple[int, bytes]] = {}
        """What was made of it, with the position at that time."""
        self._store = store
        self._epoch = 0
        self._read_s = self._checked_s = -1e9
        self._hold: tuple[float, Hold] | None = None
        self._looked = Looked("", 0, [])

    def refresh(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Fold what was stored since; costs two reads of the store where nothing was."""
        with self.lock:
            if clock() - self._read_s < FRESH_S:
                return
            with without_collection() if not self.rows else contextlib.nullcontext():
                for position, segment in read_segments(
                    self._store, self.state.id, self.position, self._epoch, events_without_values
                ):
                    place = (position,)  # of most actions the only one: all of a segment share it
                    for event in segment.events:
                        self._fold(event, place, position + 1)
                    self.position, self._epoch = position + 1, segment.epoch
            self._read_s = clock()

    def expire(self) -> None:
        """Have the next `refresh` read, however soon that is."""
        self._read_s, self._hold = -1e9, None

    def read_events(self, action: str) -> list[Event]:
        """Read the record of one action with its values, in the order of the log, without what it printed.

        Of the action that was read last only what is new is read: who looks at it does so each second.
        """
        with self.lock:
            places, looked = self.places.get(action, ()), self._looked
        known = looked if looked.action == action else Looked(action, 0, [])
        new = read_events(self._store, self.state.id, action, places[known.places :]) if places else []
        events = [*known.events, *(event for event in new if event.kind != kinds.LOGGED)]
        if sum(len(event.body or "") for event in events) <= MOST_KEPT:
            self._looked = Looked(action, len(places), events)
        return list(events)

    def read_printed(self, action: str, behind: int = 0) -> list[Event]:
        """Read the events that tell what an action printed, but for those in the first `behind` of its places."""
        with self.lock:
            places = self.printed.get(action, [])[behind:]
        found = read_events(self._store, self.state.id, action, places)
        return [event for event in found if event.kind == kinds.LOGGED]

    def hold(self, clock: Callable[[], float] = time.monotonic) -> Hold | None:
        """Say who holds it, as far as was seen within the last two seconds; None if it has ended."""
        if self.state.phase.is_terminal:
            return None
        if self._hold is None or clock() - self._hold[0] > HOLD_S:
            self._hold = clock(), hold_of(self._store, self.state.id)
        return self._hold[1]

    def is_replaced(self, clock: Callable[[], float] = time.monotonic) -> bool:
        """Whether another run has its name by now; looks that up each 10 s."""
        now = clock()
        if now - self._checked_s < SAME_S:
            return False
        found = load_spec(self._store, self.state.id)
        self._checked_s = now  # not before: of one that was deleted every look says so
        return bool(found.get("nonce") != self.spec.get("nonce"))

    def _fold(self, event: Event, place: tuple[int], position: int) -> None:
        kind, name = event.kind, event.action
        if kind == kinds.LOGGED:
            printed = self.printed.setdefault(name, [])
            if not printed or printed[-1] != place[0]:
                printed.append(place[0])
            return
        if name:
            places = self.places.setdefault(name, place)
            if places[-1] != place[0]:
                self.places[name] = places + place
            self.changed[name] = position
        if kind == kinds.TRACED:
            self._trace(event)
            return
        if kind in _AGAIN:
            known = self.state.actions.get(name)
            if known is not None and known.phase is ActionPhase.RUNNING:
                past = Ended(known.queued_us, known.started_us, event.at, kind.lower())
                self.earlier.setdefault(name, []).append(past)
        elif kind in _ERRORS:
            event = event._replace(body=_first_words(event.body))
        fold(self.state, event)
        if kind == kinds.CALLED:
            self.rows.append(name)

    def _trace(self, event: Event) -> None:
        record: dict[str, Any] = json.loads(event.body or "{}")
        seconds = round((record.get("ended_us", 0) - record.get("started_us", 0)) / 1e6, 3)
        name = (event.task or "").rpartition("@")[0]
        self.traced.setdefault(event.action, []).append(Traced(name, seconds, "error" not in record))


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Make many objects that all stay without Python's looking for garbage: a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_AGAIN: Final = frozenset({kinds.RETRIED, kinds.LOST})
_ERRORS: Final = frozenset({kinds.FAILED, kinds.TIMED_OUT, kinds.ABORTED})


def _first_words(body: str | None) -> str | None:
    """Leave of an error what a list shows."""
    error = json.loads(body or "{}")
    kept = {name: error[name] for name in ("code", "by", "kind") if name in error}
    return json.dumps({**kept, "message": str(error.get("message", ""))[:WORDS]})


class FoldedRuns:
    """The runs of a root that were looked at last, folded."""

    def __init__(self, store: Store, most_actions: int = MOST_ACTIONS) -> None:
        """Keep those of a store, so many that they have a number of actions together."""
        self._store, self._most_actions = store, most_actions
        self._runs: OrderedDict[str, FoldedRun] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, run: str) -> FoldedRun:
        """Return a run, as it is stored by now.

        Raises:
            RunNotFoundError: The root holds no such run.

        """
        with self._lock:
            found = self._runs.get(run)
        if found is None or found.is_replaced():
            former, found = found, FoldedRun(self._store, RunId(run))
            with self._lock:
                if self._runs.get(run) is not former:  # another thread was first
                    found = self._runs.get(run, found)
                self._runs[run] = found
        with self._lock:
            if run in self._runs:
                self._runs.move_to_end(run)
        found.refresh()
        self._forget()
        return found

    def expire(self, run: str) -> None:
        """Read a run anew when it is asked for next, because it was changed from here."""
        with self._lock:
            found = self._runs.get(run)
        if found is not None:
            found.expire()

    def _forget(self) -> None:
        with self._lock:
            while len(self._runs) > 1 and sum(len(each.rows) for each in self._runs.values()) > self._most_actions:
                self._runs.popitem(last=False)
