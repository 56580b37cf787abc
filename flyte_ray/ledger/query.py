"""Read runs from a store, with or without a process that runs them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple

from flyte_ray.errors import ObjectMissing, RunNotFoundError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.listing import names_of_runs
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.paths import CACHE, spec_key
from flyte_ray.ledger.segment import events_about
from flyte_ray.ledger.snapshot import read_snapshot
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.ledger.steps import RecordedStep
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.storage import Store

AS_LISTED: Final = "'flyte-ray get run' lists those it holds."
_READERS: Final = 16
_UNSUCCESSFUL: Final = (kinds.RETRIED, kinds.LOST, kinds.FAILED, kinds.TIMED_OUT, kinds.ABORTED)


def list_kept(store: Store) -> dict[str, dict[str, Any]]:
    """Read all kept outcomes that are whole: what `docs/ledger.md` says of an entry, by its key."""
    paths = store.keys(CACHE)
    with ThreadPoolExecutor(_READERS, "flyte-ray-cache") as pool:
        entries = zip(paths, pool.map(lambda path: _read_kept(store, path), paths), strict=True)
        return {path.rpartition("/")[2].removesuffix(".json"): entry for path, entry in entries if entry is not None}


def _read_kept(store: Store, path: str) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(store.get(path))
    except (ObjectMissing, ValueError):  # deleted meanwhile, or damaged: a miss
        return None
    return entry


def load_spec(store: Store, run: RunId) -> dict[str, Any]:
    """Read how a run was started.

    Raises:
        RunNotFoundError: The root holds no run of this name.

    """
    try:
        spec: dict[str, Any] = json.loads(store.get(spec_key(run)))
    except ObjectMissing as error:
        raise RunNotFoundError(
            f"{store.uri} should hold a run {run!r}, but does not."
            f" {did_you_mean(run, names_of_runs(store), AS_LISTED)}".rstrip()
        ) from error
    return spec


def load_state(store: Store, run: RunId) -> RunState:
    """Fold what is stored of a run: its snapshot, if there is one, and the segments behind it."""
    state, position = read_snapshot(store, run)
    for _, segment in read_segments(store, run, position):
        for event in segment.events:
            fold(state, event)
    return state


class Past(NamedTuple):
    """What an action's attempts left on record, in its order, as far as it is stored."""

    steps: list[RecordedStep]
    failures: list[Event]
    """How attempts ended that did not succeed: each is a `RETRIED`, `LOST`, `FAILED`, `TIMED_OUT` or `ABORTED`."""


def load_past(store: Store, run: RunId, action: str) -> Past:
    """Read what an action's attempts did and why they failed, those too that others followed."""
    segments = read_segments(store, run, take=partial(events_about, action))
    return past_of(event for _, segment in segments for event in segment.events if event.action == action)


def past_of(events: Iterable[Event]) -> Past:
    """Find in an action's events what its attempts left on record."""
    steps: dict[RecordedStep, None] = {}  # a ledger that restarted may have recorded one twice
    failures, begun = [], set()
    for event in events:
        if event.kind == kinds.TRACED:
            name, _, key = (event.task or "").rpartition("@")
            steps[RecordedStep(name, key, event.attempt, event.group, event.body or "{}")] = None
        elif event.kind == kinds.STARTED:
            begun.add(event.attempt)
        elif event.kind in _UNSUCCESSFUL and event.attempt in begun:  # one may end before it was handed out
            failures.append(event)
    return Past(list(steps), failures)
