"""Find the conditions of a run and signal them, from wherever the root can be reached."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from flyte_ray.api.both import both_forms_of_class, both_forms_of_method, both_iterators_of_class
from flyte_ray.api.run import Run
from flyte_ray.errors import ActionNotFoundError, RuntimeUserError
from flyte_ray.ledger.messages import read_ref
from flyte_ray.ledger.signals import Entry, decide, is_signal, signal_entry
from flyte_ray.ledger.state import ActionState
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.condition import ConditionSpec, ConditionValue, check_value
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase

_WAITS = (ActionPhase.QUEUED, ActionPhase.PAUSED)


class Condition:
    """A question that a run puts to a person. Mirrors Flyte's `remote.Condition`.

    Properties show what was stored when it was read: by `get` or `listall`.
    """

    def __init__(self, run: Run, state: ActionState) -> None:
        """Wrap what was read; use `get` or `listall`."""
        self._run, self._state = run, state
        self._spec = ConditionSpec.load(state.inputs)

    def __repr__(self) -> str:
        return f"Condition({self.name!r}, run_name={self.run_name!r}, phase={self.phase!r})"

    @both_forms_of_class
    def get(cls, name: str, /, run_name: str, action_name: str | None = None) -> Condition | None:  # noqa: N805
        """Find a condition; the first of that name, None if there is none.

        Args:
            name: Its name.
            run_name: The run.
            action_name: The action that made it; default: any.

        Raises:
            RunNotFoundError: There is no such run.
            ActionNotFoundError: The run has no such action.

        """
        return next((each for each in _conditions(run_name, action_name) if each.name == name), None)

    @both_iterators_of_class
    def listall(cls, /, run_name: str, action_name: str | None = None, limit: int = 100) -> Iterator[Condition]:  # noqa: N805
        """Yield a run's conditions in the order in which they were made, those too that have ended.

        Args:
            run_name: The run.
            action_name: Only those that this action made.
            limit: Accepted: how many Flyte's server sends at a time; all of them come.

        Raises:
            RunNotFoundError: There is no such run.
            ActionNotFoundError: The run has no such action.

        """
        yield from _conditions(run_name, action_name)

    @property
    def name(self) -> str:
        """Its name, unique in the action that made it."""
        return self._spec.name

    @property
    def action_name(self) -> str:
        """Id of the action that it is, unique in its run."""
        return self._state.id

    @property
    def parent_name(self) -> str | None:
        """Id of the action that made it."""
        return self._state.parent

    @property
    def run_name(self) -> str:
        """Its run."""
        return self._run.name

    @property
    def phase(self) -> str:
        """Where it stands: `paused` while it waits."""
        return self._state.phase.value

    @property
    def expected_type(self) -> type[ConditionValue]:
        """Type of the value that it is to be signalled with."""
        return self._spec.data_type

    @property
    def prompt(self) -> str:
        """The question."""
        return self._spec.prompt

    @property
    def description(self) -> str:
        """More about the question."""
        return self._spec.description

    def to_dict(self) -> dict[str, Any]:
        """Return all that is known of it; `value` and `signalled_by` are None while it waits."""
        signal: Entry = json.loads(self._state.result or "{}") if self._state.has_succeeded else {}
        return {
            "name": self.name,
            "action_name": self.action_name,
            "parent_name": self.parent_name,
            "run_name": self.run_name,
            "phase": self.phase,
            "prompt": self.prompt,
            "prompt_type": self._spec.prompt_type,
            "data_type": self.expected_type.__name__,
            "description": self.description,
            "timeout_s": self._spec.timeout_s,
            "value": signal.get("value"),
            "signalled_by": signal.get("by"),
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict())

    @both_forms_of_method
    def signal(self, payload: ConditionValue) -> None:
        """Answer it; returns when that is stored. A second signal is refused, whoever gives it.

        No ledger need be reached: the one that holds the run finds the signal within seconds, and one that continues a
        run which was cut off finds it then.

        Args:
            payload: Of the type that it expects; a whole number is a float, too.

        Raises:
            TypeError: `payload` is of another type; nothing is stored.
            RuntimeUserError: It was signalled already, or waits no more.
            StoreError: The root does not answer; to signal again is safe.

        """
        value = check_value(payload, self.expected_type)
        self._state = self._run.state().actions[self.action_name]
        if self._state.phase not in _WAITS:
            said = f"Condition '{self.name}' of run {self.run_name!r} waits no more: it {_how(self._state)}"
            raise RuntimeUserError("NotSignalled", f"{said}. Nothing was changed.")
        entry = signal_entry(value, current_user(), time.time_ns() // 1000, uuid.uuid4().hex)
        found = decide(self._run.store, RunId(self.run_name), self.action_name, self._state.rounds, entry)
        if found != entry:
            how = _describe(found) if is_signal(found) else "has ended: timed_out"
            said = f"Condition '{self.name}' of run {self.run_name!r} waits no more: it {how}"
            raise RuntimeUserError("NotSignalled", f"{said}. Nothing was changed.")
        self._run.nudge()


def _conditions(run_name: str, action_name: str | None) -> list[Condition]:
    run = Run.get(run_name)
    state = run.state()
    if action_name is not None and action_name not in state.actions:
        raise ActionNotFoundError(
            f"Expected an action of run {run_name!r}, got {action_name!r}. 'flyte-ray get action {run_name}' lists"
            f" those it has."
        )
    keys = {key for key, body in state.tasks.items() if read_ref(body).is_condition}
    return [
        Condition(run, each)
        for each in state.actions.values()
        if each.task in keys and action_name in (None, each.parent)
    ]


def _how(state: ActionState) -> str:
    return _describe(json.loads(state.result or "{}")) if state.has_succeeded else f"has ended: {state.phase.value}"


def _describe(signal: Entry) -> str:
    return f"was signalled with {signal['value']!r} by {signal['by']}"
