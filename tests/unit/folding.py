"""Fold a whole log of a test's own."""

from __future__ import annotations

from collections.abc import Iterable

from flyte_ray.ledger.events import Event
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.spec.ids import RunId


def fold_all(run: RunId, events: Iterable[Event]) -> RunState:
    """Fold events, the oldest first."""
    state = RunState(run)
    for event in events:
        fold(state, event)
    return state
