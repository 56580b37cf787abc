"""Give each task its shape: the Ray options of its environment and their key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.cluster.options import BUNDLE_VAR, prefer_spot, remote_options, secrets_in, shape_key
from flyte_ray.runtime.catalog import Shape, Shaping, pool_of
from flyte_ray.runtime.deployed import DeployedTask, options_with
from flyte_ray.spec.task import TaskSpec

_OF_PROCESS: Final = ("log_levels", "pickles", "key")
"""Of a run's specification what counts for all of a process."""


def shaping_of(bundle: str | None, spec: Mapping[str, Any]) -> Shaping:
    """Return the shaping of a run with this code bundle, started as its specification says."""
    run_env = spec.get("env_vars") or {}
    # What images come to was found out where the run started, which says nothing of other code.
    images = (spec.get("images") or {}) if bundle == spec.get("code") else {}
    is_interruptible: bool | None = spec.get("interruptible")

    def shape(task: TaskSpec) -> Shape:
        queue = task.queue or spec.get("queue")
        if isinstance(task, DeployedTask) and task.ref is not None:
            options, pool = options_with(task.ref, run_env, BUNDLE_VAR), task.ref.pool
            if is_interruptible is not None:
                options = prefer_spot(options, is_interruptible)
        else:
            options = remote_options(
                task.environment, bundle_digest=bundle, run_env=run_env, mapped=images.get(task.environment.name)
            )
            pool = pool_of(task.environment)
            # The processes of a pool are there before its tasks, and are what the environment says.
            own = task.environment.interruptible if pool else task.interruptible
            options = prefer_spot(options, own if is_interruptible is None else is_interruptible)
        if pool is not None and secrets_in(options):
            pool = pool._replace(of_run=True)  # another run's secrets of the same names may have other values
        if pool is None:
            return Shape(shape_key(options), json.dumps(options, sort_keys=True), None, queue)
        # An environment has a pool of its own, however equal another one may be; and runs share it that may share one.
        apart = {"pool": pool, **{name: spec.get(name) for name in _OF_PROCESS}}
        return Shape(shape_key({**options, **apart}), json.dumps(options, sort_keys=True), pool, queue)

    return shape
