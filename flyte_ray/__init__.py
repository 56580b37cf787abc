"""Durable data and ML work on Ray, in Flyte 2's programming model: `import flyte_ray as flyte`."""

from __future__ import annotations

from flyte_ray import remote
from flyte_ray.api.environment import TaskEnvironment, TaskTemplate
from flyte_ray.api.fanning import ctx, custom_context, group
from flyte_ray.api.fanning import map_task as map
from flyte_ray.api.run import Run
from flyte_ray.api.running import run, with_runcontext
from flyte_ray.api.settings import init, logger
from flyte_ray.spec.image import Image
from flyte_ray.spec.policies import Backoff, Cache, RetryStrategy, ReusePolicy, Timeout
from flyte_ray.spec.resources import GPU, TPU, Device, Resources
from flyte_ray.spec.secret import Secret

__version__ = "0.1.0"

__all__ = [
    "GPU",
    "TPU",
    "Backoff",
    "Cache",
    "Device",
    "Image",
    "Resources",
    "RetryStrategy",
    "ReusePolicy",
    "Run",
    "Secret",
    "TaskEnvironment",
    "TaskTemplate",
    "Timeout",
    "ctx",
    "custom_context",
    "group",
    "init",
    "logger",
    "map",
    "remote",
    "run",
    "with_runcontext",
]
