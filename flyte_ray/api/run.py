"""The handle of a run: what the user holds after `flyte.run`, and what `flyte.remote` finds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from flyte_ray.api.both import both_forms
from flyte_ray.api.environment import TaskTemplate
from flyte_ray.api.settings import current_store
from flyte_ray.cluster.session import is_connected
from flyte_ray.errors import BaseRuntimeError, RunNotFoundError, RuntimeUserError
from flyte_ray.ledger.query import list_runs, load_logs, load_spec, load_state
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.runtime.failures import rebuild
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store
from flyte_ray.types import build_codec

POLL_S: Final = 0.5
"""How often a run that another process holds is looked at."""
_SUCCEEDED: Final = (ActionPhase.SUCCEEDED, ActionPhase.RECOVERED)


class Action:
    """One action as its store knows it. Mirrors Flyte's `remote.Action`."""

    def __init__(self, run: str, state: ActionState) -> None:
        """Wrap what was read."""
        self.run_name = run
        self._state = state

    @classmethod
    def get(cls, run_name: str, name: str = ROOT_ACTION) -> Action:
        """Find an action; raises `RunNotFoundError`."""
        found = Run.get(run_name)._load().actions.get(name)
        if found is None:
            raise RunNotFoundError(
                f"Run {run_name!r} should have an action {name!r}, but has none."
                f" 'flyte-ray get action {run_name}' lists those it has."
            )
        return cls(run_name, found)

    @classmethod
    def listall(cls, run_name: str, in_phase: ActionPhase | None = None) -> list[Action]:
        """Return a run's actions in the order of their calls, all or those in one phase."""
        actions = Run.get(run_name)._load().actions.values()
        return [cls(run_name, state) for state in actions if in_phase is None or state.phase is in_phase]

    @property
    def name(self) -> str:
        """The action's id."""
        return self._state.id

    @property
    def task_name(self) -> str:
        """Qualified name of its task."""
        return self._state.task_name

    @property
    def phase(self) -> ActionPhase:
        """Phase when this was read."""
        return self._state.phase

    @property
    def attempts(self) -> int:
        """Attempts begun."""
        return self._state.attempts

    @property
    def error(self) -> BaseRuntimeError | None:
        """The error of an action that ended without success."""
        ended = self.phase.is_terminal and self.phase not in _SUCCEEDED
        return rebuild(self._state.result) if ended else None


class Run:
    """A run. Mirrors Flyte's `Run`; every call that may wait has an `.aio` form."""

    def __init__(self, store: Store, name: str, task: TaskTemplate | None = None) -> None:
        """Refer to a run; use `get` to check that it exists."""
        self._store = store
        self.name = name
        self._task = task

    def __repr__(self) -> str:
        return f"Run({self.name!r}, {self.url!r})"

    @classmethod
    def get(cls, name: str) -> Run:
        """Find a run by name; raises `RunNotFoundError`."""
        store = current_store()
        load_spec(store, RunId(name))
        return cls(store, name)

    @classmethod
    def listall(cls, limit: int = 100) -> list[Run]:
        """Return the newest runs of the root, newest first."""
        store = current_store()
        return [cls(store, spec["name"]) for spec in list_runs(store, limit)]

    @property
    def url(self) -> str:
        """The run's URI."""
        return f"{self._store.uri}/runs/{self.name}"

    @property
    def phase(self) -> ActionPhase:
        """Phase of the root action: the live one while a ledger holds the run here, else as stored."""
        live = self._look()
        return ActionPhase(live["phase"]) if live else self._load().phase

    def done(self) -> bool:
        """Tell whether the run has ended."""
        return self.phase.is_terminal

    @both_forms
    def wait(self) -> None:
        """Return when the run has ended and that is stored."""
        while not self._load().phase.is_terminal:
            client = self._client()
            try:
                if client is None:
                    time.sleep(POLL_S)
                else:
                    client.wait(RunId(self.name))
            except RunNotFoundError:
                # This cluster's ledger does not hold it: it ended just now, or another one holds it.
                time.sleep(POLL_S)

    def watch(self, interval_s: float = POLL_S) -> Iterator[dict[str, Any]]:
        """Yield what a live view shows until the run has ended: `phase`, `counts` by phase, `running`, `waits`."""
        while True:
            live = self._look()
            if live is None:
                state = self._load()
                counts = {phase.value: count for phase, count in state.counts.items() if count}
                live = {"phase": state.phase.value, "counts": counts, "running": [], "waits": []}
            yield live
            if ActionPhase(live["phase"]).is_terminal:
                return
            time.sleep(interval_s)

    @both_forms
    def inputs(self) -> dict[str, Any]:
        """Return the root action's inputs by name; plain JSON where the task is not known here."""
        text = load_spec(self._store, RunId(self.name))["inputs"]
        if self._task is None:
            plain: dict[str, Any] = json.loads(text)
            return plain
        return build_codec(self._task.spec.interface, self._task.name).decode_inputs(text, self._blobs())

    @both_forms
    def outputs(self, task: TaskTemplate | None = None) -> tuple[Any, ...]:
        """Wait, and return the outputs as Flyte's tuple: one element per output, `(None,)` if there are none.

        Args:
            task: The task, for its return type; without it, values come back as plain JSON.

        Raises:
            BaseRuntimeError: The run did not succeed: its error, of the recorded class.

        """
        self.wait()
        root = self._load().root
        if root.phase not in _SUCCEEDED:
            raise rebuild(root.result)
        known = task or self._task
        if known is None:
            return (json.loads(root.result or "null"),)
        codec = build_codec(known.spec.interface, known.name)
        value = codec.decode_output(root.result or "null", self._blobs())
        # A NamedTuple is one value; `tuple[A, B]` is two outputs.
        return value if type(value) is tuple else (value,)

    @both_forms
    def abort(self, reason: str = "aborted by the user") -> None:
        """Abort the run and all its actions; returns when that is stored.

        Raises:
            RuntimeUserError: The run has ended already, or no ledger that can be reached holds it.

        """
        self._abort(ROOT_ACTION, reason)
        self.wait()

    @both_forms
    def get_logs(self, action: str = ROOT_ACTION) -> str:
        """Return what the attempts of an action printed, oldest first, as far as it is stored."""
        return load_logs(self._store, RunId(self.name), action)

    def _abort(self, action: str, reason: str) -> None:
        client = self._client()
        if client is not None and client.abort(RunId(self.name), action, reason):
            return
        known = self._load().actions.get(action)
        phase = known.phase if known else None
        if phase is not None and phase.is_terminal:
            message = f"Action {action} of run {self.name!r} has ended already: {phase.value}. Nothing was aborted."
        else:
            message = (
                f"Run {self.name!r} is not held by a ledger that this process is connected to, so that nothing was"
                f" aborted. Connect to its cluster with --address, or press Ctrl-C where it runs."
            )
        raise RuntimeUserError("NotAborted", message)

    def _error(self) -> BaseRuntimeError | None:
        root = self._load().root
        return None if root.phase in _SUCCEEDED else rebuild(root.result)

    def _load(self) -> RunState:
        return load_state(self._store, RunId(self.name))

    def _blobs(self) -> RunBlobs:
        return RunBlobs(self._store, RunId(self.name))

    def _look(self) -> dict[str, Any] | None:
        client = self._client()
        return client.look(RunId(self.name)) if client else None

    def _client(self) -> Any:
        if not is_connected():
            return None
        from flyte_ray.cluster.client import find_client  # imports ray, which is connected by now

        return find_client(self._store)
