"""Start runs and look at them: `run`, `with_runcontext`, `Run`."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any, Final

from flyte_ray.api.environment import TaskTemplate
from flyte_ray.errors import BaseRuntimeError, UnsupportedError
from flyte_ray.ledger.query import list_runs, load_spec, load_state
from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.runtime.failures import rebuild
from flyte_ray.runtime.local import LocalRun
from flyte_ray.spec.ids import RunId, make_run_name, validate_run_name
from flyte_ray.spec.interface import bind
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store, ensure_writable, open_store
from flyte_ray.types import build_codec

DEFAULT_ROOT: Final = "~/.flyte-ray"
_settings: dict[str, Any] = {}


def init(root: str | os.PathLike[str] | None = None, storage: dict[str, Any] | None = None) -> None:
    """Set this process's root.

    Args:
        root: Where the record lies: a path or `s3://…`; default `FLYTE_RAY_ROOT`, else `~/.flyte-ray`.
        storage: fsspec arguments for the root, such as `endpoint_url`; never recorded.

    """
    _settings.update(root=root, storage=storage)


def current_store(root: str | None = None) -> Store:
    """Open the root that applies: argument, `init`, `FLYTE_RAY_ROOT`, `~/.flyte-ray`."""
    chosen = root or _settings.get("root") or os.environ.get("FLYTE_RAY_ROOT") or DEFAULT_ROOT
    return open_store(chosen, _settings.get("storage"))


class Run:
    """A run as its store knows it. Mirrors Flyte's `Run`."""

    def __init__(self, store: Store, name: str) -> None:
        """Refer to a run; use `get` to check that it exists."""
        self._store = store
        self.name = name

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
        """Phase of the root action, as stored."""
        return load_state(self._store, RunId(self.name)).phase

    def done(self) -> bool:
        """Tell whether the run has ended."""
        return self.phase.is_terminal

    def wait(self) -> None:
        """Return at once: a local run has ended when `run` returns."""

    def outputs(self, task: TaskTemplate | None = None) -> tuple[Any, ...]:
        """Return the outputs as Flyte's tuple, `(None,)` if there are none.

        Args:
            task: The task, for its return type; without it, values come back as plain JSON.

        Raises:
            BaseRuntimeError: The run did not succeed: its error, of the recorded class.

        """
        root = load_state(self._store, RunId(self.name)).root
        if root.phase is not ActionPhase.SUCCEEDED:
            raise rebuild(root.result)
        known = task or self._task
        if known is None:
            import json  # the one case without a codec

            return (json.loads(root.result or "null"),)
        value = build_codec(known.spec.interface, known.name).decode_output(
            root.result or "null", RunBlobs(self._store, RunId(self.name))
        )
        # A NamedTuple is one value; `tuple[A, B]` is two outputs.
        return value if type(value) is tuple else (value,)

    _task: TaskTemplate | None = None


class Runner:
    """Starts runs with settings of their own: what `with_runcontext` returns."""

    def __init__(self, mode: str | None, name: str | None, labels: dict[str, str] | None) -> None:
        """Keep the settings."""
        if mode not in (None, "local"):
            raise UnsupportedError(
                f"mode must be 'local' in this version, got {mode!r}: running on Ray is being built. Leave mode out."
            )
        self._name = name
        self._labels = labels or {}

    def run(self, task: TaskTemplate, *args: Any, **kwargs: Any) -> Run:
        """Run a task with all its descendants and return the ended run.

        Raises:
            TypeError: `task` is no task, or an argument is not of its parameter's type; nothing is recorded then.
            RunAlreadyExistsError: The name is taken.
            StoreError: The root cannot be written.

        """
        if not isinstance(task, TaskTemplate):
            raise TypeError(f"flyte.run expects a task made with @env.task, got {type(task).__name__}. Decorate it.")
        values = bind(task.spec.interface, task.name, args, kwargs)
        store = current_store()
        ensure_writable(store)
        run = validate_run_name(self._name) if self._name else make_run_name(os.urandom)
        inputs = build_codec(task.spec.interface, task.name).encode_inputs(values, RunBlobs(store, run)).text
        source = os.path.abspath(task.spec.func.__code__.co_filename)
        about = {"source": source, "labels": self._labels}
        LocalRun(store, run).start(task.spec, inputs, None, uuid.uuid4().hex, about)
        return _handle(store, run, task)

    async def run_aio(self, task: TaskTemplate, *args: Any, **kwargs: Any) -> Run:
        """Run without blocking the caller's event loop."""
        return await asyncio.to_thread(self.run, task, *args, **kwargs)


def _handle(store: Store, run: RunId, task: TaskTemplate) -> Run:
    handle = Run(store, run)
    handle._task = task
    return handle


def resume_run(store: Store, name: str, task: TaskTemplate, *, take_over: bool = False) -> Run:
    """Continue a run that was cut off: what succeeded is answered from its record."""
    run = RunId(name)
    load_spec(store, run)
    LocalRun(store, run).resume(task.spec, take_over=take_over)
    return _handle(store, run, task)


def with_runcontext(
    mode: str | None = None, *, name: str | None = None, labels: dict[str, str] | None = None
) -> Runner:
    """Return a runner whose runs have this name and these labels."""
    return Runner(mode, name, labels)


def run(task: TaskTemplate, *args: Any, **kwargs: Any) -> Run:
    """Run a task with all its descendants; see `Runner.run`."""
    return Runner(None, None, None).run(task, *args, **kwargs)


def error_of(handle: Run) -> BaseRuntimeError | None:
    """Return the error of a run that ended without success."""
    root = load_state(handle._store, RunId(handle.name)).root
    return None if root.phase is ActionPhase.SUCCEEDED else rebuild(root.result)
