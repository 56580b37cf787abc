"""Find runs and actions by name, also when no cluster is up: `Run.get`, `Run.listall`, `Action.get`."""

from __future__ import annotations

from flyte_ray.api.action import Action
from flyte_ray.api.run import Run

__all__ = ["Action", "Run"]
