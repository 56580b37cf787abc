"""Durable data and ML work on Ray, in Flyte 2's programming model: `import flyte_ray as flyte`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flyte_ray.spec.version import VERSION

if TYPE_CHECKING:
    from flyte_ray import app, config, durable, errors, io, models, notify, remote, report, storage, types
    from flyte_ray.api.building import ImageBuild, build, build_images
    from flyte_ray.api.condition import new_condition
    from flyte_ray.api.config import init_from_config
    from flyte_ray.api.context import TaskContext, ctx, custom_context, get_custom_context, group
    from flyte_ray.api.environment import TaskEnvironment
    from flyte_ray.api.fanning import map_task as map
    from flyte_ray.api.foreign import is_control_plane_available
    from flyte_ray.api.run import Run
    from flyte_ray.api.running import rerun, run, with_runcontext
    from flyte_ray.api.scripts import run_python_script
    from flyte_ray.api.settings import init, logger, system_logger
    from flyte_ray.api.task import AsyncFunctionTaskTemplate, Documentation, Link, TaskTemplate
    from flyte_ray.api.trace import trace
    from flyte_ray.apps.deployment import deploy
    from flyte_ray.apps.handle import AppHandle
    from flyte_ray.apps.serving import serve, with_servecontext
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
    from flyte_ray.spec.schedule import Cron, FixedRate
    from flyte_ray.spec.secret import Secret, SecretRequest
    from flyte_ray.spec.trigger import Trigger, TriggerTime

__version__ = VERSION


def version() -> str:
    """Return the version of this package."""
    return __version__


def __getattr__(name: str) -> Any:
    place, _, held = _PLACES.get(name, "").partition(":")
    if not place:
        foreign = importlib.import_module("flyte_ray.api.foreign")
        if name in foreign.ABSENT:
            return foreign.Absent(name)
        raise AttributeError(f"module 'flyte_ray' has no attribute {name!r}")
    module = importlib.import_module(f"flyte_ray.{place}")
    found = globals()[name] = getattr(module, held) if held else module
    return found


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]


_PLACES = {
    "AMD_GPU": "spec.devices:AMD_GPU",
    "APPLE_SILICON": "spec.devices:APPLE_SILICON",
    "GPU": "spec.resources:GPU",
    "HABANA_GAUDI": "spec.devices:HABANA_GAUDI",
    "TPU": "spec.resources:TPU",
    "AppHandle": "apps.handle:AppHandle",
    "AsyncFunctionTaskTemplate": "api.task:AsyncFunctionTaskTemplate",
    "Backoff": "spec.policies:Backoff",
    "Cache": "spec.policies:Cache",
    "CachePolicy": "spec.policies:CachePolicy",
    "CacheRequest": "spec.policies:CacheRequest",
    "Checkpoint": "runtime.checkpoint:Checkpoint",
    "ConditionWebhook": "spec.condition:ConditionWebhook",
    "Cron": "spec.schedule:Cron",
    "Device": "spec.resources:Device",
    "DeviceClass": "spec.resources:DeviceClass",
    "Documentation": "api.task:Documentation",
    "FixedRate": "spec.schedule:FixedRate",
    "Image": "spec.image:Image",
    "ImageBuild": "api.building:ImageBuild",
    "Link": "api.task:Link",
    "Neuron": "spec.devices:Neuron",
    "Resources": "spec.resources:Resources",
    "RetryStrategy": "spec.policies:RetryStrategy",
    "ReusePolicy": "spec.policies:ReusePolicy",
    "Run": "api.run:Run",
    "Secret": "spec.secret:Secret",
    "SecretRequest": "spec.secret:SecretRequest",
    "TaskContext": "api.context:TaskContext",
    "TaskEnvironment": "api.environment:TaskEnvironment",
    "TaskTemplate": "api.task:TaskTemplate",
    "Timeout": "spec.policies:Timeout",
    "TimeoutType": "spec.policies:TimeoutType",
    "Trigger": "spec.trigger:Trigger",
    "TriggerTime": "spec.trigger:TriggerTime",
    "app": "app",
    "build": "api.building:build",
    "build_images": "api.building:build_images",
    "config": "config",
    "ctx": "api.context:ctx",
    "custom_context": "api.context:custom_context",
    "deploy": "apps.deployment:deploy",
    "durable": "durable",
    "errors": "errors",
    "get_custom_context": "api.context:get_custom_context",
    "group": "api.context:group",
    "init": "api.settings:init",
    "init_from_config": "api.config:init_from_config",
    "io": "io",
    "is_control_plane_available": "api.foreign:is_control_plane_available",
    "latest_checkpoint": "runtime.checkpoint:latest_checkpoint",
    "logger": "api.settings:logger",
    "map": "api.fanning:map_task",
    "models": "models",
    "new_condition": "api.condition:new_condition",
    "notify": "notify",
    "remote": "remote",
    "report": "report",
    "rerun": "api.running:rerun",
    "run": "api.running:run",
    "run_python_script": "api.scripts:run_python_script",
    "serve": "apps.serving:serve",
    "storage": "storage",
    "system_logger": "api.settings:system_logger",
    "trace": "api.trace:trace",
    "types": "types",
    "with_runcontext": "api.running:with_runcontext",
    "with_servecontext": "apps.serving:with_servecontext",
}
"""Where each name is. It is imported when it is first used: a command that shows its help does without most of it."""

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
    "Cron",
    "Device",
    "DeviceClass",
    "Documentation",
    "FixedRate",
    "Image",
    "ImageBuild",
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
    "Trigger",
    "TriggerTime",
    "app",
    "build",
    "build_images",
    "config",
    "ctx",
    "custom_context",
    "deploy",
    "durable",
    "errors",
    "get_custom_context",
    "group",
    "init",
    "init_from_config",
    "io",
    "is_control_plane_available",
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
    "run_python_script",
    "serve",
    "storage",
    "system_logger",
    "trace",
    "types",
    "version",
    "with_runcontext",
    "with_servecontext",
]
