"""Find runs and actions by name, also when no cluster is up: `Run.get`, `Run.listall`, `Action.get`."""

from __future__ import annotations

from flyte_ray.api.run import Action, Run

__all__ = ["Action", "Run"]
