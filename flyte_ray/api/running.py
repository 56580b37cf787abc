"""Start runs: `run`, `with_runcontext`, and continue them."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from flyte_ray.api.both import both_forms
from flyte_ray.api.environment import TaskTemplate
from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store, settings
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.code import pack_code, store_code, unpack_code
from flyte_ray.cluster.session import connect, ensure_ledger, has_cluster
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.errors import UnsupportedError
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.requests import Start
from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.local import LocalRun
from flyte_ray.spec.ids import RunId, make_run_name, validate_run_name
from flyte_ray.spec.interface import bind
from flyte_ray.storage import Store, ensure_writable
from flyte_ray.types import build_codec

Mode = Literal["local", "remote"]


@dataclass(frozen=True)
class Runner:
    """Starts runs with settings of their own: what `with_runcontext` returns."""

    mode: Mode | None = None
    name: str | None = None
    env_vars: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    custom_context: dict[str, str] = field(default_factory=dict)
    raw_data_path: str | None = None
    overwrite_cache: bool = False
    disable_run_cache: bool = False
    copy_style: CopyStyle = "loaded_modules"
    include: tuple[str, ...] = ()
    lasting: bool = True
    """The cluster outlives this process; False for a Ray that this process started."""

    def __post_init__(self) -> None:
        """Refuse modes that do not exist."""
        if self.mode not in (None, "local", "remote"):
            raise UnsupportedError(
                f"mode must be 'local' or 'remote', got {self.mode!r}. Leave it out: the run then uses the Ray cluster"
                f" that this process is connected to, else this process."
            )

    @both_forms
    def run(self, task: TaskTemplate, *args: Any, **kwargs: Any) -> Run:
        """Start a task with all its descendants.

        Returns:
            The run: ended in local mode, under way on a cluster (`wait`, `outputs`).

        Raises:
            TypeError: `task` is no task, or an argument is not of its parameter's type; nothing is recorded then.
            RunAlreadyExistsError: The name is taken.
            StoreError: The root cannot be written.
            ClusterError: The cluster cannot be reached.

        """
        if not isinstance(task, TaskTemplate):
            raise TypeError(f"flyte.run expects a task made with @env.task, got {type(task).__name__}. Decorate it.")
        values = bind(task.spec.interface, task.name, args, kwargs)
        store = current_store()
        run = validate_run_name(self.name) if self.name else make_run_name(os.urandom)
        codec = build_codec(task.spec.interface, task.name)
        ensure_writable(store)
        inputs = codec.encode_inputs(values, RunBlobs(store, run)).text
        remote = self.mode == "remote" or (self.mode is None and has_cluster(settings.address))
        about: dict[str, Any] = {
            "mode": "remote" if remote else "local",
            "source": os.path.abspath(task.spec.func.__code__.co_filename),
            "labels": self.labels,
            "env_vars": self.env_vars,
            "code": self._store_code(store, task),
        }
        context = json.dumps(self.custom_context, sort_keys=True) if self.custom_context else None
        if remote:
            self._start_remote(store, run, task, inputs, context, about)
        else:
            LocalRun(store, run).start(task.spec, inputs, context, uuid.uuid4().hex, about)
        return Run(store, run, task)

    def _store_code(self, store: Store, task: TaskTemplate) -> str | None:
        include = (*task.spec.environment.include, *self.include)
        packed = pack_code(task.spec, self.copy_style, include, settings.root_dir)
        if packed is None:
            return None
        marker, bundle = packed
        store_code(store, bundle)
        return marker

    def _start_remote(
        self, store: Store, run: RunId, task: TaskTemplate, inputs: str, context: str | None, about: dict[str, Any]
    ) -> None:
        connect(settings.address)
        from flyte_ray.cluster.client import LedgerClient  # imports ray, which is connected by now

        ref = Catalog(shaping_of(about["code"], self.env_vars)).know(task.spec).ref
        ledger = LedgerClient(store, ensure_ledger(store, settings.storage, lasting=self.lasting))
        ledger.start(Start(run, uuid.uuid4().hex, ref, inputs, context, about))


def with_runcontext(
    mode: Mode | None = None,
    *,
    name: str | None = None,
    env_vars: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    custom_context: dict[str, str] | None = None,
    raw_data_path: str | None = None,
    overwrite_cache: bool = False,
    disable_run_cache: bool = False,
    copy_style: CopyStyle = "loaded_modules",
) -> Runner:
    """Return a runner with settings for its runs.

    Args:
        mode: `local` for this process, `remote` for a Ray cluster; None for the cluster if there is one.
        name: The run's name, unique in the root; None makes one up.
        env_vars: Variables of all its slots; they win over those of the environments.
        labels: Shown with the run.
        custom_context: What `flyte.ctx().custom_context` says in every action.
        raw_data_path: Where large values go; None for the run's own folder.
        overwrite_cache: Compute what is cached again, and cache the new outcome.
        disable_run_cache: Neither read nor write the cache.
        copy_style: Which files of the project travel: `loaded_modules`, `all` or `none`.

    """
    return Runner(
        mode,
        name,
        env_vars or {},
        labels or {},
        custom_context or {},
        raw_data_path,
        overwrite_cache,
        disable_run_cache,
        copy_style,
    )


@both_forms
def run(task: TaskTemplate, *args: Any, **kwargs: Any) -> Run:
    """Run a task with all its descendants; see `Runner.run`."""
    started: Run = Runner().run(task, *args, **kwargs)
    return started


def resume_run(store: Store, name: str, *, mode: Mode | None, take_over: bool, lasting: bool) -> Run:
    """Continue a run that was cut off, with the code it began with: what succeeded is answered from its record.

    Raises:
        RunNotFoundError: The root holds no such run.
        RunFencedError: Another ledger holds it and is alive.

    """
    run = RunId(name)
    spec = load_spec(store, run)
    if (mode or spec["mode"]) == "local":
        unpack_code(store, spec["code"])
        LocalRun(store, run).resume(take_over=take_over)
    else:
        connect(settings.address)
        from flyte_ray.cluster.client import LedgerClient  # imports ray, which is connected by now

        ledger = LedgerClient(store, ensure_ledger(store, settings.storage, lasting=lasting))
        ledger.resume(run, take_over=take_over)
    return Run(store, name)
