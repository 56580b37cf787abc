"""Plain types of runs and actions under Flyte's names: `flyte.models`."""

from __future__ import annotations

from flyte_ray.api.context import TaskContext
from flyte_ray.api.whereabouts import ActionID, CodeBundle, GroupData, RawDataPath
from flyte_ray.spec.phase import ActionPhase

__all__ = ["ActionID", "ActionPhase", "CodeBundle", "GroupData", "RawDataPath", "TaskContext"]
