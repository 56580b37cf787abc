"""Find runs, actions, conditions, tasks, triggers and apps by name, also when no cluster is up."""

from __future__ import annotations

from flyte_ray.api.action import Action
from flyte_ray.api.deployed import TaskDetails
from flyte_ray.api.references import Task
from flyte_ray.api.remote_trigger import Trigger, TriggerDetails
from flyte_ray.api.run import Run
from flyte_ray.api.signalling import Condition
from flyte_ray.apps.served import App

__all__ = ["Action", "App", "Condition", "Run", "Task", "TaskDetails", "Trigger", "TriggerDetails"]
