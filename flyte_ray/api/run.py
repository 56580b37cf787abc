"""The handle of a run: what the user holds after `flyte.run`, and what `flyte.remote` finds."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from flyte_ray.api.awaiting import POLL_S, await_end
from flyte_ray.api.both import (
    both_forms_of_class,
    both_forms_of_method,
    both_forms_of_wait,
    both_iterators_of_method,
)
from flyte_ray.api.history import actions_table
from flyte_ray.api.interrupting import leave_or_abort
from flyte_ray.api.notebook import look_again, picture, show, shown
from flyte_ray.api.resuming import resume_run
from flyte_ray.api.revising import plan_revision
from flyte_ray.api.settings import current_pickling, current_store
from flyte_ray.api.shown_values import Page
from flyte_ray.api.steering import abort_action, client_of
from flyte_ray.api.task import TaskTemplate
from flyte_ray.api.tracebacks import with_user_traceback
from flyte_ray.api.values import Phases, error_of, inputs_of, outputs_of, phases_from
from flyte_ray.errors import BaseRuntimeError, InvalidDeclaration
from flyte_ray.ledger.apps import page_of
from flyte_ray.ledger.overview import describe_runs
from flyte_ray.ledger.paths import data_place
from flyte_ray.ledger.printing import load_printed, write_printed
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.replay import warnings
from flyte_ray.ledger.state import RunState
from flyte_ray.runtime.blobs import RunBlobs, blobs_at
from flyte_ray.runtime.local import local_ledger
from flyte_ray.runtime.report import list_reported, read_report
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store

if TYPE_CHECKING:
    import pyarrow as pa

_log: Final = logging.getLogger("flyte_ray")


def _interrupted(run: Run) -> KeyboardInterrupt:
    return leave_or_abort(run.store, RunId(run.name))


class Run:
    """A run. Mirrors Flyte's `Run`; every call that may wait has an `.aio` form."""

    def __init__(self, store: Store, name: str, task: TaskTemplate | None = None) -> None:
        """Refer to a run; use `get` to check that it exists."""
        self._store = store
        self.name = name
        self._task = task
        self._warned = False

    def __repr__(self) -> str:
        return f"Run({self.name!r}, '{self._store.uri}/runs/{self.name}')"

    def _ipython_display_(self) -> None:
        if not show(self):
            raise NotImplementedError  # IPython's terminal shows its repr then

    def _repr_html_(self) -> str:
        return picture(self)

    @both_forms_of_class
    def get(cls, name: str) -> Run:  # noqa: N805 - it takes the class
        """Find a run by name.

        Raises:
            RunNotFoundError: The root holds no run of this name.

        """
        store = current_store()
        load_spec(store, RunId(name))
        return Run(store, name)

    @both_forms_of_class
    def listall(
        cls,  # noqa: N805
        in_phase: Phases | None = None,
        task_name: str | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Return the newest runs of the root, newest first.

        Args:
            in_phase: Only those in this phase, or one of these.
            task_name: Only those of this task, `<environment>.<function>`.
            limit: Most runs returned.

        Raises:
            ValueError: There is no such phase.

        """
        store, phases = current_store(), phases_from(in_phase)
        names = None if phases is None else [phase.value for phase in phases]
        if names == []:
            return []
        return [Run(store, each["name"]) for each in describe_runs(store, limit, phases=names or (), task=task_name)]

    @property
    def url(self) -> str:
        """The run's page in the console that is on record (`serve/console.py`), else its URI."""
        return page_of(self._store, RunId(self.name)) or f"{self._store.uri}/runs/{self.name}"

    @property
    def phase(self) -> ActionPhase:
        """Phase of the root action: the live one while a ledger holds the run here, else as stored."""
        live = self.look()
        return ActionPhase(live["phase"]) if live else self.state().phase

    @property
    def error(self) -> BaseRuntimeError | None:
        """The error of a run that ended without success, of the recorded class."""
        return error_of(self.state().root)

    @both_forms_of_method
    def done(self) -> bool:
        """Tell whether the run has ended."""
        return self.phase.is_terminal

    @both_forms_of_wait(_interrupted)
    def wait(self, quiet: bool = False, wait_for: Literal["terminal", "running"] = "terminal") -> None:
        """Return when the run has ended and that is stored.

        A run that no ledger within reach holds is waited for all the same; if nobody holds it any more, that is said.

        Args:
            quiet: Accepted; nothing is ever printed here, 'flyte-ray submit' shows a run.
            wait_for: `running` returns already when the root action has begun.

        Raises:
            RunFencedError: The ledger of this process's cluster held it, and another one continues it.
            ValueError: `wait_for` is something else.

        """
        if wait_for not in ("terminal", "running"):
            raise ValueError(f"wait_for must be 'terminal' or 'running', got {wait_for!r}. Leave it out for the end.")
        if wait_for == "running":
            while self.phase in (ActionPhase.QUEUED, ActionPhase.WAITING_FOR_RESOURCES, ActionPhase.INITIALIZING):
                time.sleep(POLL_S)
            return
        self._await_end()

    def _await_end(self) -> RunState | None:
        state = await_end(self._store, RunId(self.name))
        look_again(self)
        if state is not None:
            self._warn(state)
        return state

    def _warn(self, state: RunState) -> None:
        """Say once what replayed actions called in place of what is on record."""
        found = () if self._warned else warnings(state)
        self._warned = True
        # In local mode the ledger speaks in the user's process, and has said so.
        if found and load_spec(self._store, RunId(self.name))["mode"] != "local":
            for text in found:
                _log.warning("run %s: %s", self.name, text)

    @both_iterators_of_method
    def watch(self, interval_s: float = POLL_S) -> Iterator[dict[str, Any]]:
        """Yield what a live view shows until the run has ended: `phase`, `counts` by phase, `running`, `waits`."""
        while True:
            live = self.look()
            if live is None:
                state = self.state()
                counts = {phase.value: count for phase, count in state.counts.items() if count}
                live = {"phase": state.phase.value, "counts": counts, "running": [], "waits": []}
            yield live
            if ActionPhase(live["phase"]).is_terminal:
                return
            time.sleep(interval_s)

    @both_forms_of_method
    def inputs(self, task: TaskTemplate | None = None) -> dict[str, Any]:
        """Return the root action's inputs by parameter; plain JSON where the task is not known here.

        Args:
            task: The task, for its types; default: the one that was run from here.

        """
        text = load_spec(self._store, RunId(self.name))["inputs"]
        return inputs_of(text, self.blobs(), task or self._task)

    @both_forms_of_wait(_interrupted)
    def outputs(self, task: TaskTemplate | None = None) -> tuple[Any, ...]:
        """Wait, and return the outputs as Flyte's tuple: one element per output, `(None,)` if there are none.

        Args:
            task: The task, for its return type, default: the one that was run from here. Without it tables and
                pickled values come back as they were, all else as plain JSON.

        Raises:
            BaseRuntimeError: The run did not succeed: its error, of the recorded class.
            ObjectMissing: A value was removed from the store since; `resume` computes it again.

        """
        __tracebackhide__ = True  # what failed is the user's code, whose frames are the error's cause
        state = self._await_end() or self.state()
        self.raise_error(state, ROOT_ACTION)
        return outputs_of(self.name, state.tasks, state.root, self.blobs(), task or self._task)

    @both_forms_of_method
    def abort(self, reason: str = "aborted by the user") -> None:
        """Abort the run and all its actions; returns when that is stored.

        Raises:
            RuntimeUserError: The run has ended already, or no ledger that can be reached holds it.

        """
        self.abort_action(ROOT_ACTION, reason)
        self.wait()

    @both_forms_of_method
    def resume(
        self,
        with_current_code: bool = False,
        *,
        keep: Sequence[str] = (),
        again: Sequence[str] = (),
        take_over: bool = False,
    ) -> Run:
        """Continue the run, be it cut off, failed or aborted: under its name, keeping what has succeeded.

        In local mode this process executes it to its end; on a cluster it is under way when this returns. A run that
        has succeeded stays as it is.

        Args:
            with_current_code: Use the code that this process has imported in place of that which the run began with.
                An action that has succeeded is kept if neither its task's function nor a function of the project that
                it calls has changed, and all that it called is kept; the log says what is kept.
            keep: Tasks whose actions are kept although their code has changed; this once.
            again: Tasks whose actions run again although their code has not changed.
            take_over: Do not wait for the ledger that holds the run.

        Returns:
            The run itself.

        Raises:
            RunFencedError: Another ledger holds the run and is alive.
            ClusterError: It ran on a cluster, and this process is connected to none.
            CodeBundleError: Its root's task is not in today's code, or takes other inputs.
            InvalidDeclaration: `keep` or `again` names no task of the run, or is given without `with_current_code`.

        """
        if (keep or again) and not with_current_code:
            raise InvalidDeclaration("keep and again are for with_current_code=True, got them without. Add it.")
        plan = plan_revision(self.state(), keep=keep, again=again) if with_current_code else None
        if plan is not None:
            self._task = TaskTemplate(plan.root)
            for judged in plan.judged:
                _log.info("run %s %s", self.name, judged)
        with shown(self):
            resume_run(self._store, RunId(self.name), take_over=take_over, plan=plan)
        return self

    @both_iterators_of_method
    def get_logs(self, attempt: int | None = None, filter_system: bool = False, show_ts: bool = False) -> Iterator[str]:
        """Yield what the root action's attempts printed, line by line, oldest first, as far as it is stored.

        While an action runs, that is what it printed more than about a second ago. What was too much to be kept is
        marked in a line of its own.

        Args:
            attempt: Only what this attempt printed, counted from 0.
            filter_system: Accepted; nothing but what tasks print is kept.
            show_ts: Begin each line with the time when the ledger was told of it, UTC.

        """
        yield from self.read_log(ROOT_ACTION, attempt, show_ts=show_ts).splitlines(keepends=True)

    @both_forms_of_method
    def get_report(self, attempt: int | None = None) -> str:
        """Return the HTML page that the root action's attempt has reported, as it was stored last; a notebook shows it.

        Args:
            attempt: Number of the attempt, from 0; default: the latest that has one.

        Raises:
            ObjectMissing: It has none.

        """
        return self.read_report(attempt=attempt)

    @both_forms_of_method
    def actions_table(self) -> pa.Table:
        """Return the run's actions as a table: one row each in the order of their calls, as far as they are stored.

        Returns:
            Text: `run`, `action` (`a0` is the root), `parent`, `task`, `group`, `phase`. Numbers: `depth` of its
            ancestors, `attempts` begun, `failures` of its code, `losses` of its slot. Times in UTC: `called`, `queued`
            last, last attempt `started`, `ended`; `duration_s` is the last attempt's, in seconds. Then
            `cached_from` (`<run>/<action>`), `error_code` and `error`, and as the JSON text that is recorded `inputs`,
            `output` and `context`. What is not known, or not yet, is null.

        Source: `docs/data.md`; the log itself, one row per event, is described in `docs/ledger.md`.

        """
        return actions_table(self.name, self.state().actions.values())

    # For those who show or steer a run: the command line, `Action`

    def read_log(self, action: str = ROOT_ACTION, attempt: int | None = None, *, show_ts: bool = False) -> str:
        """Return what the attempts of an action printed, oldest first, as far as it is stored."""
        return write_printed(load_printed(self._store, RunId(self.name), action, attempt), with_times=show_ts)

    def read_report(self, action: str = ROOT_ACTION, attempt: int | None = None) -> str:
        """Return the page that an attempt of an action has reported; see `get_report`."""
        blobs = self.blobs()
        return Page(read_report(blobs.store, blobs.prefix, action, attempt))

    def list_reported(self) -> list[str]:
        """Name the actions that have reported, sorted."""
        blobs = self.blobs()
        return list_reported(blobs.store, blobs.prefix)

    def look(self) -> dict[str, Any] | None:
        """Ask the ledger of the cluster that this process is connected to for what a live view shows.

        Returns:
            `phase`, `counts`, `running` and `waits`; None where no ledger can be reached that holds the run.

        """
        local = local_ledger(RunId(self.name))
        if local is not None:
            found = local.look(RunId(self.name))
            return {**found, "waits": []} if found else None  # a thread is always to be had
        client = client_of(self._store)
        return client.look(RunId(self.name)) if client else None

    def state(self) -> RunState:
        """Read the run's actions as they are stored; costs a read of the whole record."""
        return load_state(self._store, RunId(self.name))

    def abort_action(self, action: str, reason: str, timeout_s: float | None = None) -> None:
        """Abort one action and all below it; returns when that is stored, which is not when its code has stopped.

        Args:
            action: Its name.
            reason: Recorded together with who this process belongs to, and said to the parent.
            timeout_s: How long to wait for a store that does not answer.

        Raises:
            ActionNotFoundError: The run has no such action.
            RuntimeUserError: It has ended already, or no ledger that can be reached holds the run.

        """
        abort_action(self._store, RunId(self.name), action, reason, timeout_s)

    def raise_error(self, state: RunState, action: str) -> None:
        """Raise the error of an action that has ended without success, with the user's own frames as its cause."""
        __tracebackhide__ = True
        error = error_of(state.actions[action])
        if error is not None:
            with_user_traceback(error, state, load_spec(self._store, RunId(self.name)), action)
            raise error

    def nudge(self) -> None:
        """Have a ledger that can be reached look for signals and store what it has recorded at once."""
        ledger = local_ledger(RunId(self.name)) or client_of(self._store)
        if ledger is not None:
            ledger.nudge(RunId(self.name))

    @property
    def task(self) -> TaskTemplate | None:
        """Its root's task, where it was run from here."""
        return self._task

    @property
    def store(self) -> Store:
        """The root that holds it."""
        return self._store

    def blobs(self) -> RunBlobs:
        """Return where the run's large values lie."""
        run = RunId(self.name)
        return blobs_at(self._store, data_place(run, load_spec(self._store, run)), current_pickling())
