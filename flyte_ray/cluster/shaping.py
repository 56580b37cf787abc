"""Give each task its shape: the Ray options of its environment and their key."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flyte_ray.cluster.options import remote_options, shape_key
from flyte_ray.runtime.catalog import Shaping
from flyte_ray.spec.task import TaskSpec


def shaping_of(bundle: str | None, run_env: Mapping[str, str]) -> Shaping:
    """Return the shaping of a run with this code bundle and these variables."""

    def shape(task: TaskSpec) -> tuple[str, str]:
        environment = task.environment
        options = remote_options(environment, bundle_digest=bundle, run_env=run_env)
        if environment.reusable is None:
            return shape_key(options), json.dumps(options, sort_keys=True)
        # An environment has a pool of its own, however equal another one may be.
        pool = {"environment": environment.name, "policy": str(environment.reusable)}
        return shape_key({**options, "pool": pool}), json.dumps(options, sort_keys=True)

    return shape
