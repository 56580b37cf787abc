"""Summarize an active run for a live view."""

from __future__ import annotations

import json
from typing import Any, Final

from flyte_ray.ledger.book import RunBook
from flyte_ray.spec.phase import ActionPhase

POOL: Final = "pool"


def summarize(book: RunBook) -> dict[str, Any]:
    """Say what goes on in a run: counts by phase, what runs, for what the rest waits (`waits`: Ray options as JSON).

    With the options stands under `pool` the environment whose processes are kept, if they are.
    `held_back` names limits that are reached, and `asks` the conditions that wait for a signal, with their prompts.
    """
    return {
        "phase": book.state.phase.value,
        "counts": {phase.value: count for phase, count in book.state.counts.items() if count},
        "running": [
            book.state.actions[name].task.split("@")[0] for slot in book.slots.values() for name in slot.running
        ],
        "slots": len(book.slots),
        "starting": len(book.starting),
        "asks": [(spec.name, spec.prompt) for _, spec in book.conditions.open()],
        "waits_for_store": book.recorder.waits_for_store or _slots_reason(book),
        "held_back": sorted({limit for held in book.held_back.values() for limit in held.limits}),
        "waits": [_needs(book, shape) for shape in book.dispatch.shapes if shape in book.starting.values()],
    }


def _needs(book: RunBook, shape: str) -> str:
    options, pool = book.shapes.options_of(shape), book.shapes.pool_of(shape)
    return json.dumps({**json.loads(options), POOL: pool.environment}) if pool else options


def not_read(reason: str) -> dict[str, Any]:
    """Say of a run that it cannot be told yet how it stands, because the store does not answer."""
    phase = ActionPhase.INITIALIZING.value
    about = {"counts": {}, "running": [], "slots": 0, "starting": 0, "waits": []}
    return {"phase": phase, **about, "waits_for_store": reason}


def _slots_reason(book: RunBook) -> str | None:
    """Say of one slot why its store does not answer it: another node may be cut off where ours is not."""
    reasons = {slot.id: slot.waits_for_store for slot in book.slots.values()}
    reasons |= {name: reason for name, reason in book.waiting_for_store.items() if name in book.starting}
    return next((f"{reason} (slot {name})" for name, reason in reasons.items() if reason), None)
