"""Call and run tasks that were deployed, by name: reference tasks, `flyte.remote.Task`.

Invariant: a reference task is a task like any other: called in a task it is a child of that, recorded and replayed like
one. Only its code is not here: on a cluster it runs in slots that have the deployed code and environment; in local mode
this process imports that code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flyte_ray.api.both import is_in_loop
from flyte_ray.api.settings import current_pickling, current_store
from flyte_ray.api.task import UNCHANGED, TaskTemplate, given
from flyte_ray.cluster.code import unpack_code
from flyte_ray.cluster.options import BUNDLE_VAR, PREFERENCE, remote_options
from flyte_ray.errors import CodeBundleError, InvalidDeclaration, RemoteTaskUsageError
from flyte_ray.ledger.interfaces import interface_text
from flyte_ray.ledger.messages import Limits, TaskRef
from flyte_ray.ledger.tasks import TaskRecord
from flyte_ray.runtime.catalog import backoff_of, limits_of, load_task
from flyte_ray.runtime.context import current_action
from flyte_ray.runtime.deployed import DeployedTask, options_with, spec_of
from flyte_ray.spec.caching import Cache, CacheRequest, cache_from
from flyte_ray.spec.interface import bind
from flyte_ray.spec.policies import RetryStrategy, TimeoutType, retries_from, timeout_from
from flyte_ray.spec.resources import Resources
from flyte_ray.spec.secret import SecretRequest
from flyte_ray.spec.task import EnvironmentSpec, TaskSpec
from flyte_ray.storage import Store

_OVERRIDDEN: Final = (
    *("short_name", "resources", "retries", "timeout", "env_vars", "secrets", "max_inline_io_bytes", "cache", "queue"),
)


class TaskDetails(TaskTemplate):
    """A deployed task in one version. Mirrors Flyte's `TaskDetails`."""

    spec: DeployedTask

    def __init__(self, record: TaskRecord, spec: DeployedTask | None = None) -> None:
        """Describe what is on record."""
        super().__init__(spec or spec_of(record), record.environment["name"])
        self._record = record

    def __repr__(self) -> str:
        return f"TaskDetails({self.name!r}, version={self.version!r}, {interface_text(self._record.interface)!r})"

    @property
    def version(self) -> str:
        """As it was given when the task was deployed, else a digest of the content."""
        return self._record.version

    @property
    def images(self) -> Mapping[str, Mapping[str, Any]]:
        """What the images of its code came to when it was deployed, by environment, without those that need nothing."""
        return self._record.environment.get("images") or {}

    @property
    def entrypoint(self) -> bool:
        """Meant to be run by people."""
        return self.spec.entrypoint

    @property
    def task_type(self) -> str:
        """Always `python`."""
        return "python"

    @property
    def cache(self) -> Cache:
        """How its outcomes are kept."""
        return self.spec.cache

    @property
    def queue(self) -> str | None:
        """As declared."""
        return self.spec.queue

    @property
    def resources(self) -> dict[str, Any]:
        """What its slots ask of Ray, without their variables: `num_cpus`, `memory` in bytes and the like."""
        assert self.spec.ref is not None
        options: dict[str, Any] = json.loads(self.spec.ref.options)
        return {name: value for name, value in options.items() if name not in ("runtime_env", "max_retries")}

    @property
    def required_args(self) -> tuple[str, ...]:
        """Parameters without a default."""
        return tuple(item.name for item in self.interface.parameters if not item.has_default)

    @property
    def default_input_args(self) -> tuple[str, ...]:
        """Parameters with a default."""
        return tuple(item.name for item in self.interface.parameters if item.has_default)

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON schema of the inputs, by the annotations of the deployed code."""
        return dict(self._record.interface["schema"])

    def to_dict(self) -> dict[str, Any]:
        """Return what is on record, as plain JSON."""
        return {**dataclasses.asdict(self._record), "interface": dict(self._record.interface)}

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as an action inside a run: blocks in sync code, to be awaited in async code, whatever the task is.

        Raises:
            RemoteTaskUsageError: Not inside a run: start one with `flyte.run`.

        """
        if is_in_loop():
            return self.aio(*args, **kwargs)
        action = self._action()
        return action.controller.call(self._called(action.mode), self._bind(args, kwargs))

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Await the task from async code."""
        action = self._action()
        return await action.controller.call_async(self._called(action.mode), self._bind(args, kwargs))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: the function is not here."""
        raise RemoteTaskUsageError(
            f"Deployed task '{self.name}' has no function here that could be called. Call it inside a task, or start a"
            f" run with it: flyte.run(task, ...)."
        )

    def override(
        self,
        *,
        short_name: str = UNCHANGED,
        resources: Resources | None = UNCHANGED,
        retries: int | RetryStrategy = UNCHANGED,
        timeout: TimeoutType | None = UNCHANGED,
        env_vars: dict[str, str] | None = UNCHANGED,
        secrets: SecretRequest | None = UNCHANGED,
        max_inline_io_bytes: int = UNCHANGED,
        cache: CacheRequest = UNCHANGED,
        queue: str | None = UNCHANGED,
        **others: Any,
    ) -> TaskDetails:
        """Return the task with other settings; variables are laid over those that it was deployed with.

        Raises:
            InvalidDeclaration: Its processes are reused, and lack other resources, variables or secrets; or its
                outcomes are to be kept, and no version says under which.
            TypeError: An unknown setting, or a value of another type.

        """
        for name in others:
            raise TypeError(
                f"Deployed task '{self.name}' has no setting '{name}' that can be overridden. Those that can:"
                f" {', '.join(_OVERRIDDEN)}."
            )
        ref = self.spec.ref
        assert ref is not None
        outer = given(resources=resources, env_vars=env_vars, secrets=secrets)
        if ref.pool is not None and outer:
            raise InvalidDeclaration(
                f"Deployed task '{self.name}' runs in processes that are reused, got other {', '.join(outer)}, which"
                f" those lack. Leave that out."
            )
        inner = given(
            short_name=short_name,
            retries=retries if retries is UNCHANGED else retries_from(retries),
            timeout=timeout if timeout is UNCHANGED else timeout_from(timeout),
            cache=cache if cache is UNCHANGED else _cache_over(self.spec, cache_from(cache)),
            max_inline_io_bytes=max_inline_io_bytes,
            queue=queue,
        )
        spec = dataclasses.replace(self.spec, environment=dataclasses.replace(self.spec.environment, **outer), **inner)
        return TaskDetails(self._record, dataclasses.replace(spec, ref=_ref_over(ref, spec, {*outer, *inner})))

    def _action(self) -> Any:
        action = current_action.get()
        return self.forward() if action is None else action

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return bind(self.interface, self.name, args, kwargs)

    def _called(self, mode: str) -> TaskSpec:
        if mode == "local":
            unpack_code(current_store(), self.spec.code)
        return self.spec

    def loaded(self, store: Store) -> TaskTemplate:
        """Import the task in its own code, for a local run; modules that are imported already are used as they are."""
        assert self.spec.ref is not None
        unpack_code(store, self.spec.code)
        try:
            return TaskTemplate(load_task(self.spec.ref, current_pickling()), self.parent_env_name)
        except (ImportError, CodeBundleError) as error:
            raise CodeBundleError(
                f"The code of deployed task '{self.name}', version {self.version}, should be imported here, but:"
                f" {error}. Run it on a cluster, or install what it needs."
            ) from error


def _cache_over(spec: DeployedTask, cache: Cache) -> Cache:
    if not cache.is_enabled or cache.version_override:
        return cache
    if not spec.cache.is_enabled:
        raise InvalidDeclaration(
            f"Deployed task '{spec.name}' was deployed without a cache, and its code is not here to compute a version"
            f" from. Give one: Cache('override', version_override='{spec.version}')."
        )
    return dataclasses.replace(cache, behavior="override", version_override=spec.cache.version_override)


def _ref_over(ref: TaskRef, spec: DeployedTask, changed: set[str]) -> TaskRef:
    """Lay what was overridden, and now stands in `spec`, over what is on record."""
    options = options_with(ref, spec.environment.env_vars or {}, BUNDLE_VAR)
    if "resources" in changed:
        kept: dict[str, Any] = {
            name: options[name] for name in ("max_retries", "runtime_env", *PREFERENCE) if name in options
        }
        bare = EnvironmentSpec(spec.environment.name, resources=spec.environment.resources)
        options = {**remote_options(bare, bundle_digest=None), **kept}
    old, new = ref.limits or Limits(), limits_of(spec, options.get("memory")) or Limits()
    if "timeout" in changed:
        old = old._replace(**{name: getattr(new, name) for name in Limits._fields[:3]})
    if "resources" in changed:
        old = old._replace(memory_request=new.memory_request, memory_limit=new.memory_limit)
    if "retries" in changed:
        old = old._replace(retry_timeouts=new.retry_timeouts, grow=new.grow, retry_oom=new.retry_oom)
        ref = ref._replace(retries=spec.retries.count, backoff=backoff_of(spec.retries))
    limits = old if any(old[:3]) or old.memory_request else None
    return ref._replace(options=json.dumps(options, sort_keys=True), limits=limits)
