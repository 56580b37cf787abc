"""Decide whether another attempt follows one that has ended, when, and with how much memory.

Pure: the clock's time is passed in.
"""

from __future__ import annotations

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.memory import may_grow
from flyte_ray.ledger.messages import OUT_OF_MEMORY, Result, TaskRef
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.verdicts import exhausted, growing, retried


def outcome(ref: TaskRef, action: ActionState, result: Result, now_us: int) -> tuple[str, str]:
    """Return the event that an attempt's end is for its action: its kind and body."""
    if result.kind == OUT_OF_MEMORY and may_grow(ref, action.growths):
        return kinds.RETRIED, growing(result.body)
    if result.kind in (kinds.FAILED, OUT_OF_MEMORY):
        return after_failure(ref, action, result.body, may_retry=result.retry, now_us=now_us)
    return result.kind, result.body


def after_failure(ref: TaskRef, action: ActionState, body: str, *, may_retry: bool, now_us: int) -> tuple[str, str]:
    """Return the event that a failure is for its action.

    Args:
        ref: The action's task.
        action: It, before the event.
        body: The attempt's error.
        may_retry: Whether this failure may be retried at all.
        now_us: Microseconds since the epoch.

    """
    if not may_retry or not ref.retries:
        return kinds.FAILED, body
    if action.failures >= ref.retries:
        return kinds.FAILED, exhausted(body, action.failures + 1)
    delay_s = ref.delay_s(action.failures)
    return kinds.RETRIED, retried(body, now_us + round(delay_s * 1e6)) if delay_s else body
