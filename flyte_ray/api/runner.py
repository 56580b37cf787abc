"""Start runs with settings of their own: what a run needs is checked, encoded, sent and put on record.

The order is the correctness argument: what can be refused is refused before anything is stored.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from flyte_ray.api.asked_secrets import asked_again, asked_by, ensure_unseen
from flyte_ray.api.both import both_forms
from flyte_ray.api.cutoff import name_cut_off
from flyte_ray.api.deployed import TaskDetails
from flyte_ray.api.environment import TaskTemplate
from flyte_ray.api.interrupting import saying_how_to_go_on
from flyte_ray.api.kernel import kernel_shell
from flyte_ray.api.notebook import shown
from flyte_ray.api.preparing import prepare_images, warm_images
from flyte_ray.api.reachable import inclusions_of
from flyte_ray.api.references import LazyEntity, template_of
from flyte_ray.api.rerunning import (
    Source,
    cache_again,
    check_request,
    find_source,
    load_recorded,
    merge_inputs,
    plan_recovery,
)
from flyte_ray.api.revising import Plan
from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_pickling, current_store, settings
from flyte_ray.api.unsupported import check_concurrency, check_texts
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.code import send_code
from flyte_ray.cluster.options import variables_in
from flyte_ray.cluster.session import connect, ensure_ledger, has_cluster
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.errors import UnsupportedError
from flyte_ray.ledger.faults import NO_FAULTS, Faults
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.paths import PLACE, data_place
from flyte_ray.ledger.recovering import dump_source
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.revision import Changes
from flyte_ray.runtime.aliases import AS_FLYTE
from flyte_ray.runtime.blobs import RunBlobs, blobs_at
from flyte_ray.runtime.caching import Caching
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.given_secrets import NOTHING_ASKED, Asked
from flyte_ray.runtime.local import LocalRun
from flyte_ray.runtime.logs import levels
from flyte_ray.runtime.naming import task_identity
from flyte_ray.runtime.redaction import holding
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.ids import ROOT_ACTION, RunId, choose_run_name, validate_run_name
from flyte_ray.spec.interface import bind
from flyte_ray.spec.notification import Notification
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store, ensure_writable
from flyte_ray.storage.local import local_path
from flyte_ray.types import build_codec
from flyte_ray.types.signing import Pickling, Policy

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
    faults: Faults = NO_FAULTS
    """What happens at named points of a local run, for tests; see `flyte_ray.testing`."""
    lasting: bool = True
    """The cluster outlives this process; False for a Ray that this process started."""
    strict_replay: bool = False
    notifications: tuple[Notification, ...] = ()
    pickles: Policy | None = None
    source: str | None = None
    """Where the task's file lies for its user, if that is another place than here."""
    queue: str | None = None
    max_action_concurrency: int = 0
    interruptible: bool | None = None

    def __post_init__(self) -> None:
        """Refuse modes, names and styles that do not exist, and labels that are no text."""
        if self.mode not in (None, "local", "remote"):
            raise UnsupportedError(
                f"mode must be 'local' or 'remote', got {self.mode!r}. Leave it out: the run then uses the Ray cluster"
                f" that this process is connected to, else this process."
            )
        if self.name is not None:
            validate_run_name(self.name)
        check_concurrency(self.max_action_concurrency)
        if not isinstance(self.interruptible, bool | None):
            raise TypeError(f"interruptible must be True, False or None, got {self.interruptible!r}. Leave it out.")
        if self.copy_style not in get_args(CopyStyle):
            raise UnsupportedError(
                f"copy_style must be one of {', '.join(map(repr, get_args(CopyStyle)))}, got {self.copy_style!r}."
                f" Leave it out to take the modules that are loaded."
            )
        for name in ("env_vars", "labels", "custom_context"):
            check_texts(name, getattr(self, name))

    @both_forms
    def run(self, task: TaskTemplate | LazyEntity, *args: Any, **kwargs: Any) -> Run:
        """Start a task with all its descendants; a deployed one with the code that it was deployed with.

        Returns:
            The run: ended in local mode, under way on a cluster (`wait`, `outputs`).

        Raises:
            TypeError: `task` is no task, or an argument is not of its parameter's type; nothing is recorded then.
            RunAlreadyExistsError: The name is taken.
            RemoteTaskNotFoundError: The root holds no such deployed task.
            StoreError: The root cannot be written.
            ClusterError: The cluster cannot be reached.

        """
        task = template_of(task)
        if isinstance(task, TaskDetails) and not self._is_remote():
            task = task.loaded(current_store())
        values = bind(task.spec.interface, task.name, args, kwargs)
        store = self.faults.around(current_store())
        asked = asked_by(task.spec, store)
        run = choose_run_name(self.name, os.urandom)
        ensure_writable(store)
        pickling = current_pickling(self.pickles, make=True)
        about = self._about(self.source or os.path.abspath(task.source_file), pickling, asked)
        if not isinstance(task, TaskDetails):
            self._prepare(task.spec, about)
        elif task.images:
            about["images"] = task.images
        blobs = _take_place(store, run, about, pickling)
        codec = build_codec(task.spec.interface, task.name, task.spec.max_inline_io_bytes)
        with holding(asked.values):
            inputs = codec.encode_inputs(values, blobs)
        cache = Caching(about).use(task.spec, task_identity(task.name, task.spec.interface), inputs)
        about["code"] = self._code_of(store, task, about)
        ref = self._refer(task.spec, about, pickling) if about["mode"] == "remote" else None
        started = Run(store, run, task)
        with shown(started):
            self._launch(store, run, ref or task.spec, inputs.text, self.custom_context, cache, about, pickling, asked)
        return started

    @both_forms
    def rerun(
        self,
        run_name: str,
        action_name: str = ROOT_ACTION,
        recover: bool = False,
        force_rerun_actions: Sequence[str] | None = None,
        allow_missing_source_outputs: bool = False,
        **inputs: Any,
    ) -> Run:
        """Start a run anew from an earlier one, with its code and its inputs, and the settings of both; see `rerun`."""
        check_request(action_name, recover, force_rerun_actions, allow_missing=allow_missing_source_outputs)
        source = find_source(current_store(), run_name, action_name)
        forced, allow = force_rerun_actions or (), allow_missing_source_outputs
        return self.start_again(source, inputs, recover=recover, forced=forced, allow_missing=allow)

    def start_again(
        self,
        source: Source,
        inputs: Mapping[str, Any],
        *,
        recover: bool,
        forced: Sequence[str],
        allow_missing: bool,
        plan: Plan | None = None,
    ) -> Run:
        """Start a run anew, with today's code if there is a plan for that."""
        store = self.faults.around(current_store())
        run = choose_run_name(self.name, os.urandom)
        ensure_writable(store)
        earlier = None if self.pickles else source.spec.get("pickles")
        pickling = current_pickling(self.pickles, make=True).under(earlier)
        about = self._about(source.spec["source"], pickling, earlier=source.spec)
        is_remote = about["mode"] == "remote"
        as_it_is = is_remote and plan is None and source.runs_as_it_is(about)
        task = plan.root if plan else None if as_it_is and not inputs else load_recorded(store, source)
        asked = asked_again(source.run, source.spec, [source.ref], store, task)
        about["secrets"] = asked.record
        if plan is not None:
            self._prepare(plan.root, about)
        elif source.spec.get("images") and source.code == source.spec.get("code"):
            about["images"] = source.spec["images"]
        with holding(asked.values):
            encoded = merge_inputs(store, source, inputs, _take_place(store, run, about, pickling), task)
        changes: Changes | None = None
        if recover:
            here = not is_remote
            changes = plan_recovery(store, source, forced=forced, allow_missing=allow_missing, here=here, plan=plan)
        about["rerun"] = dump_source(source.run, source.action, changes)
        about["code"] = self._send_code(store, plan.root, about) if plan else source.code
        if task is not None and encoded.digest:
            cache = Caching(about).use(task, task_identity(task.name, task.interface), encoded)
        else:
            cache = None if plan else cache_again(source, about["cache"])
        target: TaskRef | TaskSpec | None = source.ref if as_it_is else task
        if is_remote and task is not None and not as_it_is:
            ref = self._refer(task, about, pickling)
            # Slots run the code on record, whatever this process has imported under its name.
            target = ref if plan else ref._replace(bodies=source.ref.bodies)
        assert target is not None, "what does not run as it is was imported"
        context = {**json.loads(source.context or "{}"), **self.custom_context}
        started = Run(store, run, TaskTemplate(task) if task is not None else None)
        with shown(started):
            self._launch(store, run, target, encoded.text, context, cache, about, pickling, asked)
        return started

    def _about(
        self,
        file: str,
        pickling: Pickling,
        asked: Asked = NOTHING_ASKED,
        earlier: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Describe a run for the record; what these settings do not say is as in an earlier run."""
        return {
            "mode": "remote" if self._is_remote() else "local",
            "by": current_user(),
            "source": file,
            "interactive": kernel_shell() is not None or hasattr(sys, "ps1"),
            "log_levels": levels(),
            "labels": {**(earlier.get("labels") or {}), **self.labels},
            "env_vars": {**_alias(), **(earlier.get("env_vars") or {}), **self.env_vars},
            "raw_data_path": _absolute(self.raw_data_path) or earlier.get("raw_data_path"),
            "copy_style": earlier.get("copy_style") or self.copy_style,
            "include": earlier.get("include") or self.include,
            "cache": self._cache_mode() or earlier.get("cache") or "on",
            "strict_replay": self.strict_replay or bool(earlier.get("strict_replay")),
            "notifications": [notice.dump() for notice in self.notifications] or earlier.get("notifications") or [],
            "pickles": "refuse" if pickling.is_off else "sign",
            "key": pickling.key.id if pickling.key else None,
            "secrets": asked.record,
            "queue": self.queue or earlier.get("queue"),
            "max_action_concurrency": self.max_action_concurrency or earlier.get("max_action_concurrency"),
            "interruptible": earlier.get("interruptible") if self.interruptible is None else self.interruptible,
        }

    def _prepare(self, task: TaskSpec, about: dict[str, Any]) -> None:
        if about["mode"] == "remote" and (images := prepare_images(task)):
            about["images"] = images

    def _is_remote(self) -> bool:
        return self.mode == "remote" or (self.mode is None and has_cluster(settings.address))

    def _code_of(self, store: Store, task: TaskTemplate, about: Mapping[str, Any]) -> str | None:
        return task.spec.code if isinstance(task, TaskDetails) else self._send_code(store, task.spec, about)

    def _cache_mode(self) -> str | None:
        if self.disable_run_cache:
            return "off"
        return "overwrite" if self.overwrite_cache else None

    def _send_code(self, store: Store, task: TaskSpec, about: Mapping[str, Any]) -> str | None:
        include = inclusions_of(task, about["include"])

        def warm(marker: str | None) -> None:
            if about.get("images"):
                warm_images(task, about["images"], marker, about["env_vars"])

        return send_code(store, task, about["copy_style"], include, settings.root_dir, warm)

    def _refer(self, task: TaskSpec, about: Mapping[str, Any], pickling: Pickling) -> TaskRef:
        connect(settings.address)  # what a task needs is said in this cluster's terms
        return Catalog(shaping_of(about["code"], about), pickling).refer(task)

    def _launch(
        self,
        store: Store,
        run: RunId,
        task: TaskRef | TaskSpec,
        inputs: str,
        context: Mapping[str, str],
        cache: str | None,
        about: dict[str, Any],
        pickling: Pickling,
        asked: Asked,
    ) -> None:
        """Begin a run: on the cluster by the reference of its task, or in this process by the task itself."""
        nonce, custom = uuid.uuid4().hex, json.dumps(context, sort_keys=True) if context else None
        # Not all: names, paths and users may well be what somebody has for a secret, and URLs of notifications are.
        variables = {**variables_in(task.options if isinstance(task, TaskRef) else "{}"), **about["env_vars"]}
        ensure_unseen(
            asked,
            inputs=inputs,
            custom_context=custom,
            variables=json.dumps(variables),
            labels=json.dumps(about["labels"]),
            code_by_value=task.pickled if isinstance(task, TaskRef) else None,
        )
        if isinstance(task, TaskSpec) or not self.lasting:
            name_cut_off(store, run)
        if isinstance(task, TaskSpec):
            with saying_how_to_go_on(run):
                local = LocalRun(store, run, pickling, self.faults, asked)
                local.start(task, inputs, custom, nonce, about, cache)
            return
        connect(settings.address)
        from flyte_ray.cluster.client import LedgerClient  # imports ray, which is connected by now

        client = LedgerClient(store, ensure_ledger(store, lasting=self.lasting), pickling)
        client.lend_secrets(run, nonce, asked.values)
        client.start(Start(run, nonce, task, inputs, custom, cache, about))


def _take_place(store: Store, run: RunId, about: dict[str, Any], pickling: Pickling) -> RunBlobs:
    """Open where a run's large values go, and mark it where that is a folder of its own: one may go with its disk."""
    blobs = blobs_at(store, data_place(run, about), pickling)
    if about["raw_data_path"] and local_path(blobs.store.uri) is not None:
        blobs.store.put(f"{blobs.prefix}/{PLACE}", b"")
        about["raw_data_marked"] = True
    return blobs


def _alias() -> dict[str, str]:
    """Say to slots whether `import flyte` means this package, as it does here."""
    return {AS_FLYTE: "1"} if os.environ.get(AS_FLYTE) == "1" else {}


def _absolute(place: str | None) -> str | None:
    return place if place is None or "://" in place else os.path.abspath(os.path.expanduser(place))
