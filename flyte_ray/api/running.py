"""Start runs: `run`, `with_runcontext`, and continue them."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from flyte_ray.api.both import both_forms
from flyte_ray.api.cutoff import name_cut_off
from flyte_ray.api.environment import TaskTemplate
from flyte_ray.api.reachable import inclusions_of
from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.unsupported import ignore_foreign, refuse_unsupported
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.code import send_code
from flyte_ray.cluster.session import connect, ensure_ledger, has_cluster
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.ledger.faults import NO_FAULTS, Faults
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.paths import data_place
from flyte_ray.ledger.requests import Start
from flyte_ray.runtime.blobs import blobs_at
from flyte_ray.runtime.caching import Caching
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.local import LocalRun
from flyte_ray.runtime.naming import task_identity
from flyte_ray.spec.ids import make_run_name, validate_run_name
from flyte_ray.spec.interface import bind
from flyte_ray.storage import Store, ensure_writable
from flyte_ray.types import build_codec

Mode = Literal["local", "remote"]
_REFUSED: Final = ("dry_run", "copy_bundle_to", "notifications", "debug", "tracked", "tracked_strict")
_IGNORED: Final = (
    *("service_account", "version", "interactive_mode", "run_base_dir", "run_start_time", "project", "domain"),
    *("annotations", "interruptible", "log_level", "log_format", "user_log_level", "reset_root_logger", "queue"),
    *("cache_lookup_scope", "preserve_original_types", "max_action_concurrency"),
)
"""What Flyte's `with_runcontext` takes besides, and what we only accept so far."""


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
    faults: Faults = NO_FAULTS
    """What happens at named points of a local run, for tests; see `flyte_ray.testing`."""
    lasting: bool = True
    """The cluster outlives this process; False for a Ray that this process started."""

    def __post_init__(self) -> None:
        """Refuse modes, names and styles that do not exist, and labels that are no text."""
        if self.mode not in (None, "local", "remote"):
            raise UnsupportedError(
                f"mode must be 'local' or 'remote', got {self.mode!r}. Leave it out: the run then uses the Ray cluster"
                f" that this process is connected to, else this process."
            )
        if self.name is not None:
            validate_run_name(self.name)
        if self.copy_style not in get_args(CopyStyle):
            raise UnsupportedError(
                f"copy_style must be one of {', '.join(map(repr, get_args(CopyStyle)))}, got {self.copy_style!r}."
                f" Leave it out to take the modules that are loaded."
            )
        for name in ("env_vars", "labels", "custom_context"):
            _check_texts(name, getattr(self, name))

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
        store = self.faults.around(current_store())
        run = validate_run_name(self.name) if self.name else make_run_name(os.urandom)
        codec = build_codec(task.spec.interface, task.name)
        ensure_writable(store)
        remote = self.mode == "remote" or (self.mode is None and has_cluster(settings.address))
        about: dict[str, Any] = {
            "mode": "remote" if remote else "local",
            "source": os.path.abspath(task.source_file),
            "labels": self.labels,
            "env_vars": self.env_vars,
            "raw_data_path": _absolute(self.raw_data_path),
            "copy_style": self.copy_style,
            "include": self.include,
            "cache": "off" if self.disable_run_cache else "overwrite" if self.overwrite_cache else "on",
        }
        inputs = codec.encode_inputs(values, blobs_at(store, data_place(run, about)))
        cache = Caching(about).use(task.spec, task_identity(task.name, task.spec.interface), inputs)
        include = inclusions_of(task.spec, self.include)
        about["code"] = send_code(store, task.spec, self.copy_style, include, settings.root_dir)
        context = json.dumps(self.custom_context, sort_keys=True) if self.custom_context else None
        if not (remote and self.lasting):
            name_cut_off(store, run)
        if remote:
            start = Start(run, uuid.uuid4().hex, self._refer(task, about), inputs.text, context, cache, about)
            self._start_remote(store, start)
        else:
            LocalRun(store, run, self.faults).start(task.spec, inputs.text, context, uuid.uuid4().hex, about, cache)
        return Run(store, run, task)

    def _refer(self, task: TaskTemplate, about: dict[str, Any]) -> TaskRef:
        connect(settings.address)  # what a task needs is said in this cluster's terms
        return Catalog(shaping_of(about["code"], self.env_vars)).know(task.spec).ref

    def _start_remote(self, store: Store, start: Start) -> None:
        from flyte_ray.cluster.client import LedgerClient  # imports ray, which is connected by now

        LedgerClient(store, ensure_ledger(store, settings.storage, lasting=self.lasting)).start(start)


def _absolute(place: str | None) -> str | None:
    return place if place is None or "://" in place else os.path.abspath(os.path.expanduser(place))


def _check_texts(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict of str to str, got {type(value).__name__}. Write {name}={{'a': 'b'}}.")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"{name} must map str to str, got {key!r}: {text!r:.80}. Write the value as text.")


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
    max_action_concurrency: int | None = None,
    **foreign: Any,
) -> Runner:
    """Return a runner with settings for its runs.

    Args:
        mode: `local` for this process, `remote` for a Ray cluster; None for the cluster if there is one.
        name: The run's name, unique in the root; None makes one up.
        env_vars: Variables of all its slots; they win over those of the environments.
        labels: Shown with the run.
        custom_context: What `flyte.ctx().custom_context` says in every action.
        raw_data_path: Folder or URL for values that do not lie in the log, instead of the run's own folder; every
            node must reach it.
        overwrite_cache: Compute what is cached again, and cache the new outcome.
        disable_run_cache: Neither read nor write the cache.
        copy_style: Which files of the project travel: `loaded_modules`, `all` or `none`.
        max_action_concurrency: Accepted: 0 or at least 2, for 1 would have a parent wait for its child for ever.
        foreign: Other settings of Flyte's: those of its control plane are without effect, said once.

    Raises:
        UnsupportedError: A mode that does not exist, such as `hybrid`, or a setting that we cannot honour.
        InvalidDeclaration: A name or a concurrency of another form.
        TypeError: An unknown setting, or one of another type.

    Source: `flyte.with_runcontext`.

    """
    refuse_unsupported("A run", {key: foreign.pop(key) for key in _REFUSED if key in foreign})
    count = max_action_concurrency
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0 or count == 1):
        raise InvalidDeclaration(
            f"max_action_concurrency must be 0 (no limit) or at least 2, got {count!r}. Bound a fan-out with"
            f" flyte.map(..., concurrency={count!r})."
        )
    given = {**foreign, "max_action_concurrency": count or None}
    ignore_foreign("flyte.with_runcontext", given, _IGNORED)
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
    """Run a task with all its descendants, with the settings of `init`.

    Args:
        task: Made with `@env.task`.
        args: Its arguments by position.
        kwargs: Its arguments by name.

    Returns:
        The run: ended in local mode, be it with a failure; under way on a cluster (`wait`, `outputs`).

    Raises:
        TypeError: `task` is no task, or an argument is not of its parameter's type; nothing is recorded then.
        StoreError: The root cannot be written.
        ClusterError: The cluster cannot be reached. Running again is safe after both: nothing has begun.

    Source: `flyte.run`.

    """
    started: Run = Runner().run(task, *args, **kwargs)
    return started
