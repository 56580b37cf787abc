"""Summarize an active run for a live view."""

from __future__ import annotations

from typing import Any

from flyte_ray.ledger.book import RunBook


def summarize(book: RunBook) -> dict[str, Any]:
    """Say what goes on in a run: counts by phase, what runs, for what the rest waits (`waits`: Ray options as JSON).

    `asks` names the conditions that wait for a signal, with their prompts.
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
        "waits_for_store": book.recorder.waits_for_store,
        "waits": [book.options_of(shape) for shape in book.dispatch.shapes if shape in book.starting.values()],
    }
