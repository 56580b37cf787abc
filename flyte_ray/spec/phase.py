"""The phases of an action."""

from __future__ import annotations

from enum import Enum


class ActionPhase(str, Enum):
    """Where an action stands; values as in `flyte.models.ActionPhase`."""

    QUEUED = "queued"
    WAITING_FOR_RESOURCES = "waiting_for_resources"
    INITIALIZING = "initializing"
    RUNNING = "running"
    PAUSED = "paused"
    """Waits for a condition to be signalled."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    TIMED_OUT = "timed_out"
    RECOVERED = "recovered"
    """Its outcome was taken over from an earlier run."""

    __hash__ = str.__hash__  # Enum's is written in Python, and each event looks up several phases

    @property
    def has_succeeded(self) -> bool:
        """Whether an output is known."""
        return self in (ActionPhase.SUCCEEDED, ActionPhase.RECOVERED)

    @property
    def is_terminal(self) -> bool:
        """Whether no other phase can follow."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        ActionPhase.SUCCEEDED,
        ActionPhase.FAILED,
        ActionPhase.ABORTED,
        ActionPhase.TIMED_OUT,
        ActionPhase.RECOVERED,
    }
)
