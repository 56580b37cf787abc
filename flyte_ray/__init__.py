"""Durable data and ML work on Ray, in Flyte 2's programming model: `import flyte_ray as flyte`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flyte_ray import durable, errors, models, notify, remote, report, storage, types
from flyte_ray.api.condition import new_condition
from flyte_ray.api.context import TaskContext, ctx, custom_context, get_custom_context, group
from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.fanning import map_task as map
from flyte_ray.api.run import Run
from flyte_ray.api.running import rerun, run, with_runcontext
from flyte_ray.api.settings import init, logger, system_logger
from flyte_ray.api.task import AsyncFunctionTaskTemplate, Documentation, Link, TaskTemplate
from flyte_ray.api.trace import trace
from flyte_ray.runtime.checkpoint import Checkpoint, latest_checkpoint
from flyte_ray.spec.condition import ConditionWebhook
from flyte_ray.spec.devices import AMD_GPU, APPLE_SILICON, HABANA_GAUDI, Neuron
from flyte_ray.spec.image import Image
from flyte_ray.spec.policies import (
    Backoff,
    Cache,
    CachePolicy,
    CacheRequest,
    RetryStrategy,
    ReusePolicy,
    Timeout,
    TimeoutType,
)
from flyte_ray.spec.resources import GPU, TPU, Device, DeviceClass, Resources
from flyte_ray.spec.secret import Secret, SecretRequest
from flyte_ray.spec.version import VERSION

if TYPE_CHECKING:
    from flyte_ray import app, io
    from flyte_ray.apps.handle import AppHandle
    from flyte_ray.apps.serving import serve, with_servecontext

__version__ = VERSION


def version() -> str:
    """Return the version of this package."""
    return __version__


def __getattr__(name: str) -> Any:
    place = _LATER.get(name)
    if place is None:
        raise AttributeError(f"module 'flyte_ray' has no attribute {name!r}")
    module = importlib.import_module(place)
    return module if place.endswith(f".{name}") else getattr(module, name)


_LATER = {
    "AppHandle": "flyte_ray.apps.handle",
    "app": "flyte_ray.app",
    "io": "flyte_ray.io",  # needs pydantic, which takes longer to import than all the rest
    "serve": "flyte_ray.apps.serving",
    "with_servecontext": "flyte_ray.apps.serving",
}
"""What is imported when it is first used: most programs do without it."""

__all__ = [
    "AMD_GPU",
    "APPLE_SILICON",
    "GPU",
    "HABANA_GAUDI",
    "TPU",
    "AppHandle",
    "AsyncFunctionTaskTemplate",
    "Backoff",
    "Cache",
    "CachePolicy",
    "CacheRequest",
    "Checkpoint",
    "ConditionWebhook",
    "Device",
    "DeviceClass",
    "Documentation",
    "Image",
    "Link",
    "Neuron",
    "Resources",
    "RetryStrategy",
    "ReusePolicy",
    "Run",
    "Secret",
    "SecretRequest",
    "TaskContext",
    "TaskEnvironment",
    "TaskTemplate",
    "Timeout",
    "TimeoutType",
    "app",
    "ctx",
    "custom_context",
    "durable",
    "errors",
    "get_custom_context",
    "group",
    "init",
    "io",
    "latest_checkpoint",
    "logger",
    "map",
    "models",
    "new_condition",
    "notify",
    "remote",
    "report",
    "rerun",
    "run",
    "serve",
    "storage",
    "system_logger",
    "trace",
    "types",
    "version",
    "with_runcontext",
    "with_servecontext",
]
