"""Environments for apps of well-known kinds: `flyte.app.extras`."""

from __future__ import annotations

from flyte_ray.apps.asgi_environment import FastAPIAppEnvironment, HTTPAPIEnvironment, ModelAppEnvironment

__all__ = ["FastAPIAppEnvironment", "HTTPAPIEnvironment", "ModelAppEnvironment"]
