"""Say which actions of one run have exceeded a time limit.

Invariants: what counts is in the log, as far as it is there: calls, hand-outs, ends of backoffs; so a restarted ledger
comes to the same result. An attempt's running time begins when its slot says that the user's code begins, which is not
in the log: after a restart it is counted from the hand-out. Time in which its slot waits for the store is not
running time.
Decides nothing about what follows (`ledger/book.py`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from flyte_ray.ledger.messages import Limits, TaskRef
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.ledger.verdicts import failure
from flyte_ray.spec.phase import ActionPhase

BEGIN_S: Final = 60.0
"""How long a slot may take to import a task's module before the attempt's time runs, if it never says that it began."""


class Excess(NamedTuple):
    """An action that has exceeded a limit."""

    action: ActionState
    body: str
    """The recorded form of its error."""
    again: bool
    """Whether another attempt may follow."""


class _Bound(NamedTuple):
    us: int
    """When it is exceeded, in microseconds since the epoch."""
    code: str
    what: str
    again: bool


class TimeLimits:
    """Watches the actions of one run whose tasks have time limits."""

    def __init__(self, state: RunState, ref_of: Callable[[ActionState], TaskRef], now_us: Callable[[], int]) -> None:
        """Watch nothing yet: see `take_up` for a run that goes on."""
        self._state, self._ref_of, self._now_us = state, ref_of, now_us
        self._began: dict[str, tuple[int, int]] = {}
        """Attempt that has begun, and when, by action."""
        self._unheard: set[str] = set()
        """Handed out to a slot that has not said that it began."""
        self._stalled: dict[str, int] = {}
        """Since when the slot of an action waits for its store, by action."""
        self._wakes: list[tuple[int, str]] = []
        """When to look at which action; looking too often does no harm."""

    def take_up(self) -> None:
        """Watch what runs or waits for a signal by the log; what is queued is watched when it is queued.

        Only when it is on record what was lost while no ledger was there, and who continues the run: until then the log
        has actions running that have ended long ago.
        """
        for action in self._state.actions.values():
            if action.phase is ActionPhase.RUNNING:
                self._began[action.id] = action.attempt, action.started_us
            if action.phase in (ActionPhase.RUNNING, ActionPhase.PAUSED):
                self.watch(action)

    def watch(self, action: ActionState) -> None:
        """Look at an action in time; call when it is queued or handed out."""
        limits = self._ref_of(action).limits
        if limits is None:
            return
        if action.phase is ActionPhase.RUNNING and self._began.get(action.id, (-1, 0))[0] != action.attempt:
            self._unheard.add(action.id)
            self._stalled.pop(action.id, None)
        bound = self._next(action, limits)
        if bound is not None:
            heapq.heappush(self._wakes, (bound.us, action.id))

    def begun(self, name: str) -> None:
        """Take note that a slot runs an action; only the first time counts."""
        if name in self._unheard:
            self._unheard.discard(name)
            action = self._state.actions[name]
            self._began[name] = action.attempt, self._now_us()
            self.watch(action)

    def stalls(self, names: Iterable[str], waits: bool) -> None:
        """Take note whether a slot waits for its store; `names` are the actions in it."""
        if waits:
            self._stalled.update((name, self._now_us()) for name in names if name not in self._stalled)
        elif self._stalled:
            for name in names:
                since_us = self._stalled.pop(name, None)
                if since_us is not None and name in self._began:
                    attempt, began_us = self._began[name]
                    self._began[name] = attempt, began_us + self._now_us() - since_us
                    self.watch(self._state.actions[name])

    def exceeded(self) -> list[Excess]:
        """Return what has exceeded a limit by now."""
        now_us = self._now_us()
        found: dict[str, Excess] = {}
        while self._wakes and self._wakes[0][0] <= now_us:
            action = self._state.actions[heapq.heappop(self._wakes)[1]]
            limits = self._ref_of(action).limits
            bound = None if limits is None or action.id in found else self._next(action, limits)
            if bound is not None and bound.us <= now_us:
                self._unheard.discard(action.id)
                found[action.id] = Excess(action, self._describe(action, bound), bound.again)
            elif bound is not None:
                heapq.heappush(self._wakes, (bound.us, action.id))
        return list(found.values())

    def _next(self, action: ActionState, limits: Limits) -> _Bound | None:
        if action.phase.is_terminal:
            return None
        # Who continues a run by hand gives it time anew.
        resumed_us = self._state.resumed_us
        bounds: list[_Bound] = []
        if limits.deadline_s:
            us = max(action.asked_us, resumed_us) + _us(limits.deadline_s)
            if action.phase is ActionPhase.PAUSED:
                return _Bound(us, "ConditionTimedoutError", f"timeout={limits.deadline_s:g} s", False)
            bounds.append(_Bound(us, "DeadlineExceededError", f"deadline={limits.deadline_s:g} s", False))
        if limits.max_queued_s and action.phase is ActionPhase.QUEUED:
            us = max(action.queued_us, action.ready_us, resumed_us) + _us(limits.max_queued_s)
            bounds.append(_Bound(us, "MaxQueuedTimeExceededError", f"max_queued_time={limits.max_queued_s:g} s", False))
        if limits.max_runtime_s and action.phase is ActionPhase.RUNNING and action.id not in self._stalled:
            attempt, began_us = self._began.get(action.id, (-1, 0))
            since_us = began_us if attempt == action.attempt else action.started_us + _us(BEGIN_S)
            what = f"max_runtime={limits.max_runtime_s:g} s"
            us = since_us + _us(limits.max_runtime_s)
            bounds.append(_Bound(us, "MaxRuntimeExceededError", what, limits.retry_timeouts))
        return min(bounds, default=None)

    def _describe(self, action: ActionState, bound: _Bound) -> str:
        if action.phase is ActionPhase.PAUSED:
            said = f"nobody signalled {action.task_name} ({action.id}) within its {bound.what}"
            return failure(bound.code, "user", f"{said}. Catch ConditionTimedoutError to go on without an answer.")
        did = "waited for a slot" if bound.code == "MaxQueuedTimeExceededError" else "was not finished"
        which = f" in attempt {action.failures + 1}" if self._ref_of(action).retries else ""
        return failure(
            bound.code,
            "user",
            f"{action.task_name} ({action.id}) {did}{which} when its Timeout({bound.what}) was over. Give it more time,"
            f" or less to do.",
        )


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
