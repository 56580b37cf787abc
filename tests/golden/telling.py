"""Say in plain data what a run's folded log tells, so that it can be compared over versions."""

from __future__ import annotations

from typing import Any

from flyte_ray.ledger.state import RunState

FIELDS = (
    *("parent", "task", "group", "inputs", "result", "attempts", "failures", "losses", "depth", "rounds"),
    *("called_us", "started_us", "ended_us", "cached_from"),
)


def tell(state: RunState) -> dict[str, Any]:
    """Return phase and actions of a run."""
    actions = {
        action.id: {"phase": action.phase.value, **{name: getattr(action, name) for name in FIELDS}}
        for action in state.actions.values()
    }
    return {"phase": state.phase.value, "actions": actions}
