"""Environments for apps of well-known kinds: `flyte.app.extras`."""

from __future__ import annotations

from flyte_ray.apps.asgi_environment import FastAPIAppEnvironment, HTTPAPIEnvironment, ModelAppEnvironment
from flyte_ray.console.environment import ConsoleEnvironment

__all__ = ["ConsoleEnvironment", "FastAPIAppEnvironment", "HTTPAPIEnvironment", "ModelAppEnvironment"]
