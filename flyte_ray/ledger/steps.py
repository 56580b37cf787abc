"""Keep the steps of actions: what `flyte.trace` recorded inside of them, for the attempt that comes next.

Invariants: of one step the record of the latest attempt counts, because what that attempt did afterwards rests on it; a
repeated record is no news; an action that has succeeded needs its steps no more.
Knows nothing of what a step's record says: the slot that replays reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.messages import Step
from flyte_ray.ledger.state import ActionState, RunState


class RecordedStep(NamedTuple):
    """One row of an action's steps, for people."""

    name: str
    """Qualified name of the traced function."""
    key: str
    attempt: int
    group: str | None
    body: str
    """See `TRACED` in `ledger/events.py`."""


class StepBook:
    """Takes steps in for one run, and gives them to the attempts that follow; called with the service's lock held."""

    def __init__(self, state: RunState, record: Callable[..., None]) -> None:
        """Work on a run's live state; `record` takes the fields of an event."""
        self._state, self._record = state, record
        self._early: dict[str, list[tuple[str, Step]]] = {}

    def take(self, slot: str, step: Step) -> None:
        """Record a step, unless that is done already or its action has ended."""
        action = self._state.actions.get(step.action)
        if action is None:
            # As with an early result: handed out by an earlier ledger, which had not stored the call.
            self._early.setdefault(step.action, []).append((slot, step))
            return
        known = action.steps.get(step.key) if action.steps else None
        is_news = known is None or known[0] < step.attempt or (known[0] == step.attempt and known[1] != step.body)
        if is_news and not action.phase.is_terminal:
            self._record(
                kinds.TRACED,
                step.action,
                step.attempt,
                task=f"{step.name}@{step.key}",
                group=step.group,
                slot=slot,
                body=step.body,
            )

    def take_early(self, action: str) -> None:
        """Record the steps that arrived before the call of their action, which is on record now."""
        for slot, step in self._early.pop(action, ()):
            self.take(slot, step)


def steps_of(action: ActionState) -> tuple[tuple[str, str], ...]:
    """Return what is on record of an action's steps, key and body, as `Work` carries it."""
    return tuple((key, body) for key, (_, body) in action.steps.items()) if action.steps else ()
