"""Find tasks: from a declared task to the reference that travels, and back in the process that runs it.

Invariants: a task that this process declared is never imported or unpickled again; equal settings give equal keys.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from flyte_ray.errors import CodeBundleError, MaxRuntimeExceededError, OOMError
from flyte_ray.ledger.messages import Limits, Pool, TaskRef
from flyte_ray.runtime.aliases import stand_in_for_flyte
from flyte_ray.runtime.deployed import DeployedTask
from flyte_ray.runtime.naming import task_identity
from flyte_ray.runtime.redaction import refuse
from flyte_ray.spec.body import Parts, read_parts
from flyte_ray.spec.policies import RetryStrategy
from flyte_ray.spec.resources import memory_limit_bytes
from flyte_ray.spec.task import EnvironmentSpec, TaskSpec
from flyte_ray.types import TaskCodec, build_codec
from flyte_ray.types.signing import Pickling

_log = logging.getLogger("flyte_ray.runtime")


class Shape(NamedTuple):
    """What the slots of a task are like."""

    key: str
    """Equal for tasks whose slots are."""
    options: str
    """JSON of the Ray options."""
    pool: Pool | None
    """The pool whose processes it runs in, if any."""
    queue: str | None
    """The queue whose limits hold for it, if any."""


Shaping = Callable[[TaskSpec], Shape]


@dataclass(frozen=True)
class Known:
    """A task with all that is computed from it once."""

    task: TaskSpec
    ref: TaskRef
    key: str
    codec: TaskCodec
    identity: str


class Catalog:
    """All tasks that a process has met in one run; safe to use from many threads."""

    def __init__(self, shaping: Shaping, pickling: Pickling) -> None:
        """Make an empty catalog; `pickling` counts for functions that travel by value."""
        self._shaping, self._pickling = shaping, pickling
        self._by_spec: dict[int, Known] = {}
        self._by_key: dict[str, Known] = {}
        self._lock = threading.Lock()

    def know(self, task: TaskSpec) -> Known:
        """Return a declared task's entry, made at its first use."""
        # The entry keeps the task alive, so that its id is not given to another one.
        found = self._by_spec.get(id(task))
        if found is None:
            found = self._add(task, self._refer(task))
        return found

    def refer(self, task: TaskSpec) -> TaskRef:
        """Return by what another process finds a task.

        Raises:
            CodeBundleError: It can only be pickled, which it must not be.

        """
        ref = self.know(task).ref
        if not ref.module and self._pickling.hindrance:
            raise CodeBundleError(
                f"Task '{task.name}' was declared in a notebook, a script's __main__ or inside a function, and can only"
                f" travel as a pickle, but {self._pickling.hindrance}. Declare it in a module."
            )
        return ref

    def find(self, key: str, ref: TaskRef) -> Known:
        """Return the entry of a task that another process named.

        Raises:
            CodeBundleError: The module has no such task.

        """
        found = self._by_key.get(key)
        return found if found is not None else self._add(load_task(ref, self._pickling), ref, key)

    def _add(self, task: TaskSpec, ref: TaskRef, key: str | None = None) -> Known:
        codec = build_codec(task.interface, task.name, task.max_inline_io_bytes)
        elsewhere = isinstance(task, DeployedTask)
        identity = task.identity if isinstance(task, DeployedTask) else task_identity(task.name, task.interface)
        known = Known(task, ref, key or ref.key, codec, identity)
        with self._lock:
            self._by_spec[id(task)] = known
            # A slot that is to run it may have its code all the same, and looks there.
            return known if elsewhere else self._by_key.setdefault(known.key, known)

    def _refer(self, task: TaskSpec) -> TaskRef:
        shape, options, pool, queue = self._shaping(task)
        if queue is not None:
            shape = f"{shape}@{queue}"  # its slots serve no other queue
        if isinstance(task, DeployedTask) and task.ref is not None:
            return task.ref._replace(shape=shape, options=options, pool=pool, queue=queue)
        module, qualname = task.func.__module__, task.func.__qualname__
        importable = module not in ("__main__", "builtins") and "<" not in qualname
        pickled = None if importable else _pickle(task, self._pickling)
        refuse(options, f"the environment of task {task.name}")  # Ray shows it, too
        refuse(pickled, f"the code of task {task.name}, which travels by value,")
        return TaskRef(
            task.name,
            module if importable else "",
            qualname,
            pickled,
            shape,
            options,
            task.retries.count,
            backoff_of(task.retries),
            task.interface.is_async,
            limits_of(task, json.loads(options).get("memory")),
            bodies_of(task),
            task.interface.outputs,
            pool,
            queue,
        )


def bodies_of(task: TaskSpec, main: str = "__main__") -> Parts | None:
    """Digest what a task's function is made of, see `read_parts`; None where that cannot be read."""
    try:
        return read_parts(task.func, _as_task, main)
    except Exception:  # whatever a project's names hold: to run a task nobody needs to know
        _log.warning(
            "it is not known what the code of task %s is: edits of it are not noticed", task.name, exc_info=True
        )
        return None


def _as_task(value: Any) -> tuple[str, Callable[..., Any]] | None:
    spec = getattr(value, "spec", None)
    return (spec.name, spec.func) if isinstance(spec, TaskSpec) else None


def pool_of(environment: EnvironmentSpec) -> Pool | None:
    """Return the pool that an environment declares, if any."""
    policy = environment.reusable
    if policy is None:
        return None
    return Pool(
        environment.name,
        policy.min_replicas,
        max(policy.max_replicas, 1),
        policy.concurrency,
        policy.idle_ttl_s,
        policy.scaledown_ttl_s,
        policy.scope == "run",
    )


def backoff_of(retries: RetryStrategy) -> tuple[float, float, float | None] | None:
    """Return the pauses between attempts in the form in which they travel."""
    backoff = retries.backoff
    if backoff is None:
        return None
    return backoff.base.total_seconds(), backoff.factor, backoff.cap.total_seconds() if backoff.cap else None


def limits_of(task: TaskSpec, memory: int | None) -> Limits | None:
    """Return the bounds of a task whose slots get so many bytes of memory; None if it has none."""
    resources, reusable = task.environment.resources, task.environment.reusable
    if reusable is not None and reusable.concurrency > 1:
        memory = None  # which of those in the process takes it, nobody can tell
    timeout = task.timeout
    limits = Limits(
        timeout.max_runtime_s,
        timeout.max_queued_time_s,
        timeout.deadline_s,
        task.retries.covers(MaxRuntimeExceededError),
        memory,
        memory_limit_bytes(resources.memory) if memory and resources else None,
        task.retries.on_oom == "grow",
        task.retries.covers(OOMError),
    )
    return limits if any(limits[:3]) or memory else None


def _pickle(task: TaskSpec, pickling: Pickling) -> str | None:
    if pickling.hindrance:
        return None  # in this process the task is known
    import cloudpickle  # only where functions travel by value

    try:
        return pickling.pack(cloudpickle.dumps(task))
    except Exception:
        # In this process the task is known; another one will say what it misses.
        return None


@functools.lru_cache(maxsize=128)
def _unpickle_once(data: bytes) -> TaskSpec:
    """Unpickle a function of a pool: each unpickling gives it globals of its own, where what it has loaded is lost."""
    return _unpickle(data)


def _unpickle(data: bytes) -> TaskSpec:
    import cloudpickle  # see _pickle

    task: TaskSpec = cloudpickle.loads(data)
    return task


def load_task(ref: TaskRef, pickling: Pickling) -> TaskSpec:
    """Import, or unpickle, what a reference names.

    Raises:
        CodeBundleError: The module has no such task.
        PickleRefusedError: The pickle is not signed with the key that counts here.
        ImportError: There is no such module.

    """
    if ref.pickled is not None:
        data = pickling.unpack(ref.pickled)
        return _unpickle_once(data) if ref.pool else _unpickle(data)
    if not ref.module:
        raise CodeBundleError(
            f"Task '{ref.name}' was declared in a notebook, a script's __main__ or inside a function, and is not known"
            f" in this process. Declare it at the top level of a file."
        )
    stand_in_for_flyte()
    found: Any = importlib.import_module(ref.module)
    for part in ref.qualname.split("."):
        found = getattr(found, part, None)
    spec = getattr(found, "spec", None)
    if not isinstance(spec, TaskSpec):
        raise CodeBundleError(
            f"Module '{ref.module}' should hold the task '{ref.qualname}', got {type(found).__name__}. Keep the"
            f" decorated function under its own name."
        )
    return spec
