"""Find runs, actions, conditions and apps by name, also when no cluster is up: `Run.get`, `Run.listall`, `App.get`."""

from __future__ import annotations

from flyte_ray.api.action import Action
from flyte_ray.api.run import Run
from flyte_ray.api.signalling import Condition
from flyte_ray.apps.served import App

__all__ = ["Action", "App", "Condition", "Run"]
