"""Say as a JSON schema what a run may be started anew with, without importing its code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from flyte_ray.api.task import TaskTemplate
from flyte_ray.types.marks import MARKS
from flyte_ray.types.references import is_located, place_of

_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def schema_of(inputs: str | None, task: TaskTemplate | None) -> dict[str, Any] | None:
    """Return the schema of a run's inputs, with what they were as `default`.

    Args:
        inputs: JSON of the recorded ones; None if they are not known.
        task: The task, where this process knows it; else types are those of the recorded values.

    Returns:
        A JSON schema; what cannot be given as JSON is `readOnly` in it and stays as it was. None without inputs.

    """
    if inputs is None:
        return None
    recorded: dict[str, Any] = json.loads(inputs)
    declared: Mapping[str, Any] = (task.json_schema if task else {}) or {}
    properties = {name: _property(value) for name, value in recorded.items()}
    for name, known in (declared.get("properties") or {}).items():
        found = properties.get(name, {})
        properties[name] = {**known, **{key: found[key] for key in ("default", "readOnly") if key in found}}
    return {**declared, "type": "object", "properties": properties, "required": []}


def _property(raw: Any) -> dict[str, Any]:
    _, value = place_of(raw)
    if isinstance(value, dict) and (not MARKS.isdisjoint(value) or is_located(value)):
        return {"readOnly": True, "description": "It stays as it was: it cannot be given as JSON."}
    kind = _TYPES.get(type(value))
    return {"default": value, **({"type": kind} if kind else {})}
