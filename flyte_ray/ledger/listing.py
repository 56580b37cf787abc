"""Keep the list of a root's runs: an entry when a run starts, another when it ends, and many ended ones in one object.

Invariants: an entry is written once and never changed; of two ends of a run the later counts, and neither while
somebody holds the run (`ledger/run_list.py` reads). So entries may be packed by several ledgers at a time, or twice,
and what is cut off between two steps leaves a list that reads the same. All of it can be made anew from the runs.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.paths import (
    ACTIVE,
    ENDED,
    INDEX,
    LISTED,
    ended_key,
    index_key,
    listed_key,
    place_in_list,
    place_of_key,
)
from flyte_ray.ledger.state import RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.storage.patient import Patience

PACK: Final = 256
"""Ended runs whose entries become one object."""
ONE_IN: Final = 32
"""One in so many runs looks at its end whether there is enough to pack: a listing for the ledger of a root of many."""
_READERS: Final = 16
_SHOWN: Final = ("name", "task", "started_us", "by", "labels", "mode", "rerun", "nonce")
"""What a list shows of a run's start. What it was called with may be long, and whom to tell of its end is secret."""


def entry_of(spec: Mapping[str, Any], state: RunState | None = None) -> dict[str, Any]:
    """Return what is listed of a run; with its end, if its state is given."""
    found = {name: spec[name] for name in _SHOWN if spec.get(name) is not None}
    rerun = spec.get("rerun")
    if rerun:
        found["rerun"] = {name: rerun[name] for name in ("run", "action", "recover")}
    if state is not None:
        counts = {phase.value: count for phase, count in state.counts.items() if count}
        ended_us = state.root.ended_us
        found["end"] = {"phase": state.phase.value, "ended_us": ended_us, "actions": counts, "number": state.resumes}
    return found


def list_run(store: Store, run: RunId, spec: Mapping[str, Any]) -> None:
    """Enter a run; waits for a store that does not answer, and changes nothing where it is entered."""
    body = json.dumps(entry_of(spec)).encode()
    Patience(f"run {run}").ask(lambda: store.put(index_key(run, spec["started_us"]), body))


def list_end(store: Store, spec: Mapping[str, Any], state: RunState) -> None:
    """Enter the end of a run, and now and then pack what has ended."""
    body = json.dumps(entry_of(spec, state)).encode()
    store.put(ended_key(state.id, spec["started_us"], state.resumes), body)
    if zlib.crc32(state.id.encode()) % ONE_IN == 0:
        pack_list(store)


def pack_list(store: Store) -> bool:
    """Put the entries of ended runs into one object, if they are many; returns whether they were."""
    keys = store.keys(ENDED)
    if len(keys) < PACK:
        return False
    held = {key.rpartition("/")[2] for key in store.keys(ACTIVE)}
    entries: dict[str, dict[str, Any]] = {}
    taken = []
    with ThreadPoolExecutor(_READERS, "flyte-ray-list") as pool:
        for key, entry in zip(keys, pool.map(lambda key: _read(store, key), keys), strict=True):
            if entry is not None and entry["name"] not in held:
                taken.append(key)
                entries[entry["name"]] = later(entries.get(entry["name"]), entry)
    # What another ledger has packed meanwhile is in its pack, and a run that was deleted must not come back.
    there = {place_of_key(key) for key in store.keys(ENDED)}
    entries = {name: entry for name, entry in entries.items() if place_in_list(name, entry["started_us"]) in there}
    put_pack(store, entries.values())
    # In this order: an entry is always in one of both.
    store.delete(taken)
    store.delete([index_key(RunId(name), entry["started_us"]) for name, entry in entries.items()])
    return True


def _read(store: Store, key: str) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(store.get(key))
    except ObjectMissing:  # another ledger packs, too
        return None
    return entry


def put_pack(store: Store, entries: Iterable[Mapping[str, Any]]) -> None:
    """Store entries of ended runs as one object, the newest first."""
    ordered = sorted(entries, key=lambda entry: place_in_list(entry["name"], entry["started_us"]))
    if ordered:
        body = json.dumps(ordered, separators=(",", ":")).encode()
        newest = ordered[0]
        digest = hashlib.sha256(body).hexdigest()[:16]
        store.put(listed_key(place_in_list(newest["name"], newest["started_us"]), digest), body)


def later(one: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """Return of two entries of one run that which says more, and later."""
    return other if one is None or _order(other) > _order(one) else one


def _order(entry: Mapping[str, Any]) -> tuple[bool, int, int]:
    end = entry.get("end")
    return (True, end["number"], end["ended_us"]) if end else (False, 0, 0)


def names_of_runs(store: Store) -> list[str]:
    """Return the names of all runs, the latest first but for those in packs."""
    keys = sorted((*store.keys(INDEX), *store.keys(ENDED)), key=place_of_key)
    loose = [place_of_key(key).partition("-")[2] for key in keys]
    packed = [entry["name"] for key in store.keys(LISTED) for entry in _entries(store, key)]
    return list(dict.fromkeys((*loose, *packed)))


def unlist(store: Store, run: RunId, started_us: int) -> None:
    """Take a run off the list; a pack that holds it is replaced by one that does not."""
    place = place_in_list(run, started_us)
    store.delete([key for key in (*store.keys(INDEX), *store.keys(ENDED)) if place_of_key(key) == place])
    # Until none is left: who takes another run off at the same time replaces the same pack by one that holds this run.
    while any(_take_off(store, key, place) for key in store.keys(LISTED)):
        pass


def _take_off(store: Store, key: str, place: str) -> bool:
    """Replace a pack by one without a run; False if it does not hold that."""
    entries = _entries(store, key)
    kept = [entry for entry in entries if place_in_list(entry["name"], entry["started_us"]) != place]
    if len(kept) == len(entries):
        return False
    if store.exists(key):  # else it was replaced since it was read, by one that lacks what was taken off there
        put_pack(store, kept)
        store.delete([key])
    return True


def _entries(store: Store, key: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(store.get(key))
    except ObjectMissing:  # another process has replaced it
        return []
    return found
