"""Find runs, actions and conditions by name, also when no cluster is up: `Run.get`, `Run.listall`, `Action.get`."""

from __future__ import annotations

from flyte_ray.api.action import Action
from flyte_ray.api.run import Run
from flyte_ray.api.signalling import Condition

__all__ = ["Action", "Condition", "Run"]
