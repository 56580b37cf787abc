"""Read the list of a root's runs, newest first: entries, packs of entries, and who is held at the moment.

Invariants: an object that was read is not read again, because it never changes; a run that somebody holds has no end
here, whatever its entries say; where there is no list at all, it is made of the runs themselves.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from flyte_ray.errors import ObjectMissing, RunNotFoundError, StoreError
from flyte_ray.ledger.listing import PACK, entry_of, later, put_pack
from flyte_ray.ledger.paths import ACTIVE, ENDED, INDEX, LISTED, RUNS, place_in_list, place_of_key
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

READERS: Final = 16
"""Objects that are read at a time."""
AT_A_TIME: Final = 2
"""Records of runs that are read at a time, where the list does not say how they ended."""
FRESH_S: Final = 0.5
"""How long a list counts as new."""
MOST_UNKNOWN: Final = 16
"""Runs of unknown end from which on a server makes their entries anew."""
_log: Final = logging.getLogger("flyte_ray.ledger")


class Listed(NamedTuple):
    """A run in the list."""

    place: str
    """By which the list is ordered, the newest first; a page begins behind one."""
    about: dict[str, Any]
    """What is shown of its start."""
    end: dict[str, Any] | None
    """`phase`, `ended_us`, `actions` by phase and `number` of continuations; None while it is held, or unknown."""
    is_held: bool
    """Whether somebody has claimed it."""


class RunList:
    """The list of one root; safe to use from many threads."""

    def __init__(self, store: Store) -> None:
        """Read the list of a store; nothing is read before the first `runs`."""
        self._store = store
        self._read: dict[str, list[dict[str, Any]]] = {}
        """Entries by the key of the object that holds them."""
        self._runs: list[Listed] = []
        self._read_s = -1e9
        self._lock = threading.Lock()

    def runs(self, clock: Callable[[], float] = time.monotonic) -> list[Listed]:
        """Return all runs, newest first."""
        with self._lock:
            if clock() - self._read_s >= FRESH_S:
                self._runs = self._merge()
                self._read_s = clock()
            return self._runs

    def _merge(self) -> list[Listed]:
        with ThreadPoolExecutor(READERS, "flyte-ray-list") as pool:
            # Packs after what is packed, so that what is put there meanwhile is in one of both.
            index, ended = pool.map(self._store.keys, (INDEX, ENDED))
            packs, held = pool.map(self._store.keys, (LISTED, ACTIVE))
            if not (index or ended or packs):
                packs = self._make_anew()
            known = {place_of_key(key) for key in ended}
            # Of a run that has ended its start says nothing more.
            wanted = [*packs, *ended, *(key for key in index if place_of_key(key) not in known)]
            fresh = [key for key in wanted if key not in self._read]
            found = dict(zip(fresh, pool.map(self._load, fresh), strict=True))
        self._read = {key: found[key] if key in found else self._read[key] for key in wanted}
        entries: dict[str, dict[str, Any]] = {}
        for part in self._read.values():
            for entry in part:
                entries[entry["name"]] = later(entries.get(entry["name"]), entry)
        names = {key.rpartition("/")[2] for key in held}
        listed = [_listed(entry, entry["name"] in names) for entry in entries.values()]
        return sorted(listed, key=lambda each: each.place)

    def _load(self, key: str) -> list[dict[str, Any]]:
        try:
            found = json.loads(self._store.get(key))
        except ObjectMissing:  # packed a moment ago: the next look finds it there
            return []
        return found if isinstance(found, list) else [found]

    def _make_anew(self) -> list[str]:
        """Make the list of a root that has runs and no list."""
        names = [key.split("/")[1] for key in self._store.keys(RUNS) if key.endswith("/spec.json")]
        if not names:
            return []
        _log.warning("%s has %d runs and no list of them: it is made anew", self._store.uri, len(names))
        self._put(self._read_all(names))
        return self._store.keys(LISTED)

    def complete(self) -> None:
        """Enter the ends of runs that nobody holds and whose end is not in the list, as earlier versions left them."""
        try:
            unknown = [each.about["name"] for each in self.runs() if each.end is None and not each.is_held]
            if len(unknown) >= MOST_UNKNOWN:
                self._put([entry for entry in self._read_all(unknown) if "end" in entry])
        except StoreError as error:  # nothing is lost: their records are read
            _log.warning("the list of runs of %s could not be completed: %s", self._store.uri, error)

    def _read_all(self, names: list[str]) -> list[dict[str, Any]]:
        # Few at a time: a record may be large.
        with ThreadPoolExecutor(AT_A_TIME, "flyte-ray-list") as pool:
            return [entry for entry in pool.map(self._enter, names) if entry is not None]

    def _put(self, entries: list[dict[str, Any]]) -> None:
        for start in range(0, len(entries), PACK):
            put_pack(self._store, entries[start : start + PACK])

    def _enter(self, name: str) -> dict[str, Any] | None:
        try:
            spec, state = load_spec(self._store, RunId(name)), load_state(self._store, RunId(name))
        except (RunNotFoundError, StoreError, ValueError) as error:
            _log.warning("run %s is left out of the list: %s", name, error)
            return None
        return entry_of(spec, state if state.phase.is_terminal else None)


def _listed(entry: dict[str, Any], is_held: bool) -> Listed:
    place = place_in_list(entry["name"], entry["started_us"])
    return Listed(place, entry, None if is_held else entry.get("end"), is_held)
