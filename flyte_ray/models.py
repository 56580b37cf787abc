"""Plain types of runs and actions under Flyte's names: `flyte.models`."""

from __future__ import annotations

from flyte_ray.api.context import ActionID, TaskContext
from flyte_ray.spec.phase import ActionPhase

__all__ = ["ActionID", "ActionPhase", "TaskContext"]
