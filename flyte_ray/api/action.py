"""The handle of one action, for who looks into a run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from flyte_ray.api.awaiting import POLL_S
from flyte_ray.api.both import both_forms_of_class, both_forms_of_method, both_iterators_of_method
from flyte_ray.api.notebook import picture, show
from flyte_ray.api.run import Run
from flyte_ray.api.task import TaskTemplate
from flyte_ray.api.values import Phases, error_of, inputs_of, outputs_of, phases_from
from flyte_ray.errors import ActionNotFoundError, BaseRuntimeError
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.verdicts import aborted_by
from flyte_ray.spec.ids import ROOT_ACTION
from flyte_ray.spec.phase import ActionPhase


class AbortInfo(NamedTuple):
    """How an action came to be aborted."""

    reason: str
    aborted_by: str
    """A person as `user@host`, an action, or a limit; empty in records of before this was recorded."""


class Action:
    """One action of a run. Mirrors Flyte's `remote.Action`.

    Properties show what was stored when it was last read: by `get`, `listall`, `done` or `wait`.
    """

    def __init__(self, run: Run, state: ActionState) -> None:
        """Wrap what was read; use `get` or `listall`."""
        self._run, self._state = run, state

    def __repr__(self) -> str:
        return f"Action({self.run_name!r}, {self.name!r}, task_name={self.task_name!r}, phase={self.phase.value!r})"

    def _ipython_display_(self) -> None:
        if not show(self._run, self.name):
            raise NotImplementedError  # IPython's terminal shows its repr then

    def _repr_html_(self) -> str:
        return picture(self._run, self.name)

    @both_forms_of_class
    def get(cls, run_name: str, name: str = ROOT_ACTION) -> Action:  # noqa: N805 - it takes the class
        """Find an action.

        Raises:
            RunNotFoundError: There is no such run.
            ActionNotFoundError: The run has no such action.

        """
        run = Run.get(run_name)
        return Action(run, _find(run, name))

    @both_forms_of_class
    def listall(
        cls,  # noqa: N805
        for_run_name: str,
        in_phase: Phases | None = None,
        parent_name: str | None = None,
    ) -> list[Action]:
        """Return a run's actions in the order of their calls.

        Args:
            for_run_name: The run.
            in_phase: Only those in this phase, or one of these.
            parent_name: Only those that this action called.

        Raises:
            RunNotFoundError: There is no such run.
            ValueError: There is no such phase.

        """
        run, phases = Run.get(for_run_name), phases_from(in_phase)
        return [
            Action(run, state)
            for state in run.state().actions.values()
            if (phases is None or state.phase in phases) and parent_name in (None, state.parent)
        ]

    @property
    def name(self) -> str:
        """The action's id, unique in its run."""
        return self._state.id

    @property
    def run_name(self) -> str:
        """Its run."""
        return self._run.name

    @property
    def parent_name(self) -> str | None:
        """The action that called it; None for the root action."""
        return self._state.parent

    @property
    def task_name(self) -> str:
        """Qualified name of its task."""
        return self._state.task_name

    @property
    def group(self) -> str | None:
        """Label of `flyte.group` or `flyte.map`."""
        return self._state.group

    @property
    def phase(self) -> ActionPhase:
        """Where it stands."""
        return self._state.phase

    @property
    def attempts(self) -> int:
        """Attempts begun."""
        return self._state.attempts

    @property
    def start_time(self) -> datetime | None:
        """When its last attempt began (UTC); None before the first."""
        begun = self._state.started_us
        return datetime.fromtimestamp(begun / 1e6, tz=timezone.utc) if begun else None

    @property
    def error(self) -> BaseRuntimeError | None:
        """The error of an action that ended without success."""
        return error_of(self._state)

    @property
    def abort_info(self) -> AbortInfo | None:
        """Why and by whom it was aborted; None if it was not. Flyte has it in its `ActionDetails`."""
        if self.phase is not ActionPhase.ABORTED:
            return None
        return AbortInfo(str(self.error), aborted_by(self._state.result))

    @both_forms_of_method
    def done(self) -> bool:
        """Look again, and tell whether it has ended."""
        if not self.phase.is_terminal:
            self._state = _find(self._run, self.name)
        return self.phase.is_terminal

    @both_forms_of_method
    def wait(self, quiet: bool = False) -> None:
        """Return when it has ended and that is stored; `quiet` is accepted, nothing is printed here."""
        while not self.done():
            time.sleep(POLL_S)

    @both_forms_of_method
    def inputs(self, task: TaskTemplate | None = None) -> dict[str, Any]:
        """Return its inputs by parameter; plain JSON without the task."""
        return inputs_of(self._state.inputs, self._run.blobs(), task)

    @both_forms_of_method
    def outputs(self, task: TaskTemplate | None = None) -> tuple[Any, ...]:
        """Wait, and return its outputs as Flyte's tuple; see `Run.outputs`.

        Raises:
            BaseRuntimeError: It did not succeed: its error, of the recorded class.

        """
        self.wait()
        tasks: Mapping[str, str] = {}
        if task is None or not self.phase.has_succeeded:  # else nothing of the record is needed
            state = self._run.state()
            self._run.raise_error(state, self.name)
            tasks = state.tasks
        return outputs_of(self._run.name, tasks, self._state, self._run.blobs(), task)

    @both_forms_of_method
    def abort(self, reason: str = "aborted by the user") -> None:
        """Abort it and all below it; its parent gets an `ActionAbortedError`.

        Raises:
            RuntimeUserError: It has ended already, or no ledger that can be reached holds its run.

        """
        self._run.abort_action(self.name, reason)

    @both_forms_of_method
    def get_report(self, attempt: int | None = None) -> str:
        """Return the HTML page that its attempt has reported; see `Run.get_report`.

        Raises:
            ObjectMissing: It has none.

        """
        return self._run.read_report(self.name, attempt)

    @both_iterators_of_method
    def get_logs(self, attempt: int | None = None, filter_system: bool = False, show_ts: bool = False) -> Iterator[str]:
        """Yield what its attempts printed, line by line; see `Run.get_logs`."""
        yield from self._run.read_log(self.name, attempt, show_ts=show_ts).splitlines(keepends=True)


def _find(run: Run, name: str) -> ActionState:
    found = run.state().actions.get(name)
    if found is None:
        raise ActionNotFoundError(
            f"Run {run.name!r} should have an action {name!r}, but has none."
            f" 'flyte-ray get action {run.name}' lists those it has."
        )
    return found
