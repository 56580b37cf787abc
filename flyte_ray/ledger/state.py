"""Fold events into the state of a run and its actions.

Invariants: folding depends on the events alone (times are in them); an action succeeds at most once; an event that
the table does not allow in a phase is refused, never skipped. Knows nothing of storage, Ray or clocks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.verdicts import grows, is_to_blame, ready_at
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.phase import ActionPhase

_OPEN_PHASES: Final = (ActionPhase.QUEUED, ActionPhase.RUNNING)

TRANSITIONS: Final[dict[tuple[str, ActionPhase], ActionPhase]] = {
    (kinds.STARTED, ActionPhase.QUEUED): ActionPhase.RUNNING,
    (kinds.SUCCEEDED, ActionPhase.RUNNING): ActionPhase.SUCCEEDED,
    # A late result of a lost attempt counts while no other attempt has started.
    (kinds.SUCCEEDED, ActionPhase.QUEUED): ActionPhase.SUCCEEDED,
    (kinds.FAILED, ActionPhase.RUNNING): ActionPhase.FAILED,
    (kinds.FAILED, ActionPhase.QUEUED): ActionPhase.FAILED,
    (kinds.RETRIED, ActionPhase.RUNNING): ActionPhase.QUEUED,
    (kinds.LOST, ActionPhase.RUNNING): ActionPhase.QUEUED,
    (kinds.RETURNED, ActionPhase.RUNNING): ActionPhase.QUEUED,
    (kinds.ABORTED, ActionPhase.RUNNING): ActionPhase.ABORTED,
    (kinds.ABORTED, ActionPhase.QUEUED): ActionPhase.ABORTED,
    (kinds.TIMED_OUT, ActionPhase.RUNNING): ActionPhase.TIMED_OUT,
    (kinds.TIMED_OUT, ActionPhase.QUEUED): ActionPhase.TIMED_OUT,
    # It waits for its call, which comes with edited code.
    (kinds.RENEWED, ActionPhase.QUEUED): ActionPhase.QUEUED,
    (kinds.RENEWED, ActionPhase.FAILED): ActionPhase.QUEUED,
    (kinds.RENEWED, ActionPhase.ABORTED): ActionPhase.QUEUED,
    (kinds.RENEWED, ActionPhase.TIMED_OUT): ActionPhase.QUEUED,
    # Only behind RESUMED: a person has edited the code.
    (kinds.RENEWED, ActionPhase.SUCCEEDED): ActionPhase.QUEUED,
    (kinds.RENEWED, ActionPhase.RECOVERED): ActionPhase.QUEUED,
    (kinds.RECOVERED, ActionPhase.QUEUED): ActionPhase.RECOVERED,
    (kinds.PAUSED, ActionPhase.QUEUED): ActionPhase.PAUSED,
    (kinds.SUCCEEDED, ActionPhase.PAUSED): ActionPhase.SUCCEEDED,
    (kinds.FAILED, ActionPhase.PAUSED): ActionPhase.FAILED,
    (kinds.ABORTED, ActionPhase.PAUSED): ActionPhase.ABORTED,
    (kinds.TIMED_OUT, ActionPhase.PAUSED): ActionPhase.TIMED_OUT,
}
"""(event, phase before) to phase after: the whole life of an action."""


@dataclass(slots=True)
class ActionState:
    """What is known of one action: its folded events."""

    id: str
    parent: str | None
    task: str
    group: str | None
    inputs: str
    called_us: int
    context: str | None = None
    """JSON of the custom context it was called with."""
    depth: int = 0
    """Number of its ancestors."""
    generation: int = 0
    """Its parent's generation when it was last called or renewed."""
    phase: ActionPhase = ActionPhase.QUEUED
    attempts: int = 0
    """Attempts begun; the last one's number is one less."""
    slot: str | None = None
    started_us: int = 0
    ended_us: int = 0
    result: str | None = None
    """JSON of the output if it succeeded, of the error if it ended otherwise."""
    failures: int = 0
    """User failures so far: what the retry budget is spent on."""
    losses: int = 0
    """Attempts lost with their slot of which they are the suspect."""
    asked_us: int = 0
    """When it was first queued, or renewed: a deadline counts from here; microseconds since the epoch."""
    queued_us: int = 0
    """When it was last queued; microseconds since the epoch."""
    growths: int = 0
    """How often its memory has grown."""
    ready_us: int = 0
    """When the next attempt may begin, if a backoff holds it; microseconds since the epoch."""
    cache: str | None = None
    """How it uses the cache: a `CacheUse` in its recorded form."""
    cached_from: str | None = None
    """`<run>/<action>` whose kept outcome answered it."""
    rounds: int = 0
    """Retries and renewals so far: an action of a later round calls its failed children anew."""
    handed_in: bool = False
    """Its call was lost with a ledger, and its slot brought it back: calls that came before it may be missing."""
    revoked_us: int = 0
    """When the first outcome came that a renewal has taken back; 0 without any, microseconds since the epoch."""
    diverged: list[tuple[int, str]] | None = None
    """Attempts that called something else than was on record, each with both calls."""
    steps: dict[str, tuple[int, str]] | None = None
    """What `flyte.trace` recorded in it, by key: attempt and body. None without any, and once it has succeeded."""
    displaced: int = 0
    """Attempts lost with their slot that had no part in it."""

    @property
    def task_name(self) -> str:
        """The task's qualified name, without the digest of its settings."""
        return self.task.partition("@")[0]

    @property
    def has_succeeded(self) -> bool:
        """Whether its output is known."""
        return self.phase.has_succeeded

    @property
    def end_kind(self) -> str:
        """Kind of the event that says how it ended."""
        return kinds.SUCCEEDED if self.has_succeeded else self.phase.name

    @property
    def attempt(self) -> int:
        """Number of the current or last attempt, from 0."""
        return max(self.attempts - 1, 0)


@dataclass(slots=True)
class RunState:
    """All actions of a run, by id, and the tasks they use, by key."""

    id: RunId
    actions: dict[str, ActionState] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    """JSON of each `TaskRef`, by its key."""
    counts: dict[ActionPhase, int] = field(default_factory=dict)
    """Number of actions by phase."""
    resumes: int = 0
    """How often a person continued the run."""
    resumed_us: int = 0
    """When a person last did; microseconds since the epoch."""
    code: str | None = None
    """Marker of the code that it goes on with, where that is not the code it began with."""
    revised_us: int = 0
    """When a person last continued it with other code; microseconds since the epoch."""

    def generation_of(self, action: str | None) -> int:
        """Count what makes an action call its failed children anew: its own rounds, and resumes of the run."""
        known = self.actions.get(action or "")
        return self.resumes + (known.rounds if known else 0)

    @property
    def root(self) -> ActionState:
        """The action that the user started."""
        return self.actions[ROOT_ACTION]

    @property
    def phase(self) -> ActionPhase:
        """The run's phase is its root action's; queued before that is known."""
        root = self.actions.get(ROOT_ACTION)
        return root.phase if root else ActionPhase.QUEUED


def fold(run: RunState, event: Event) -> None:
    """Apply one event.

    Raises:
        ValueError: The event's kind is unknown, or not allowed in the action's phase.

    """
    kind = event.kind
    if kind == kinds.CALLED:
        _call(run, event)
        return
    action = run.actions.get(event.action)
    after = TRANSITIONS.get((kind, action.phase)) if action is not None else None
    if action is None or after is None:
        _note(run, event)
        return
    before = action.phase
    run.counts[before] -= 1
    run.counts[after] = run.counts.get(after, 0) + 1
    action.phase = after
    if kind == kinds.STARTED:
        action.attempts, action.slot, action.started_us = event.attempt + 1, event.slot, event.at
    elif after is ActionPhase.QUEUED:
        _requeue(run, action, event)
    elif after is ActionPhase.PAUSED:
        return
    else:
        action.slot, action.ended_us, action.result = None, event.at, event.body
        action.cached_from = event.cache
        if kind == kinds.SUCCEEDED:
            action.steps = None  # any other end may be tried again


def _note(run: RunState, event: Event) -> None:
    """Apply an event that moves no action to another phase."""
    kind = event.kind
    if kind in (kinds.OPEN, kinds.LOGGED):
        return
    if kind == kinds.RESUMED:
        _resume(run, event)
        return
    if kind == kinds.TASK:
        run.tasks[event.task or ""] = event.body or ""
        return
    action = run.actions[event.action]
    if kind == kinds.TRACED and action.phase in _OPEN_PHASES:
        _trace(action, event)
    elif kind == kinds.DIVERGED:
        action.diverged = [*(action.diverged or ()), (event.attempt, event.body or "")]
    else:
        raise ValueError(f"event {kind} is not allowed for action {action.id} of run {run.id} in phase {action.phase}")


def _call(run: RunState, event: Event) -> None:
    if event.action in run.actions:
        raise ValueError(f"action {event.action} of run {run.id} is called a second time")
    parent = run.actions.get(event.parent or "")
    run.actions[event.action] = ActionState(
        event.action,
        event.parent,
        event.task or "",
        event.group,
        event.body or "",
        event.at,
        event.context,
        parent.depth + 1 if parent else 0,
        run.generation_of(event.parent),
        cache=event.cache,
        asked_us=event.at,
        queued_us=event.at,
        handed_in=event.slot is not None,
    )
    run.counts[ActionPhase.QUEUED] = run.counts.get(ActionPhase.QUEUED, 0) + 1


def _trace(action: ActionState, event: Event) -> None:
    key = (event.task or "").rpartition("@")[2]
    steps = action.steps = action.steps or {}
    # A late record of a lost attempt does not replace what a newer one did after it.
    if key not in steps or steps[key][0] <= event.attempt:
        steps[key] = event.attempt, event.body or ""


def _resume(run: RunState, event: Event) -> None:
    run.resumes += 1
    run.resumed_us = event.at
    if event.body:
        run.code = json.loads(event.body)["code"]
        run.revised_us = event.at
    for action in run.actions.values():
        if not action.phase.is_terminal:  # the others begin anew when they are renewed
            action.losses = action.displaced = 0


def _requeue(run: RunState, action: ActionState, event: Event) -> None:
    action.slot, action.queued_us, kind = None, event.at, event.kind
    if kind == kinds.RETRIED:
        is_growth = grows(event.body)
        action.failures += not is_growth
        action.growths += is_growth
        action.rounds += 1
        action.ready_us = ready_at(event.body)
    elif kind == kinds.LOST:
        is_suspect = is_to_blame(event.body)
        action.losses += is_suspect
        action.displaced += not is_suspect
        action.ready_us = ready_at(event.body)
    elif kind == kinds.RETURNED:
        action.attempts -= 1
    else:
        action.failures = action.losses = action.displaced = action.ready_us = 0
        action.revoked_us = action.revoked_us or action.ended_us
        action.asked_us = event.at
        action.rounds += 1
        action.result, action.generation = None, run.generation_of(action.parent)
        action.task = event.task or action.task
        if event.cache is not None:
            action.cache = event.cache or None
