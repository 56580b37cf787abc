"""Durable time, waiting and chance: `import flyte_ray.durable`; mirrors `flyte.durable`."""

from __future__ import annotations

from flyte_ray.api.durable import now, random, sleep, time, uuid

__all__ = ["now", "random", "sleep", "time", "uuid"]
