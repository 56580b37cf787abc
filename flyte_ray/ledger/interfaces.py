"""Say what of a task's interface changed from one deployment to the next, in the words that its callers need."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from flyte_ray.ledger.tasks import TaskRecord


def interface_text(interface: Mapping[str, Any]) -> str:
    """Write an interface as one line of Python: `(x: int, y: str = 'a') -> float`."""
    parts = [_parameter_text(item) for item in interface["parameters"]]
    first = next((place for place, item in enumerate(interface["parameters"]) if item["keyword_only"]), None)
    if first is not None:
        parts.insert(first, "*")
    return f"({', '.join(parts)})" + (f" -> {interface['returns']['text']}" if interface["returns"] else "")


def _parameter_text(item: Mapping[str, Any]) -> str:
    default = f" = {_default(item)}" if item["has_default"] else ""
    return f"{item['name']}: {item['type']['text']}{default}"


def _default(item: Mapping[str, Any]) -> str:
    return repr(item["default"]) if "default" in item else str(item["default_text"])


def interface_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Compare two interfaces.

    Returns:
        One entry per change, such as `y: int added`, `x: int -> float`, `y removed`, `x: default 1 -> 2`,
        `returns int -> None`; empty if a call of the one is a call of the other.

    """
    old, new = ({item["name"]: item for item in each["parameters"]} for each in (before, after))
    said = [f"{_parameter_text(item)} added" for name, item in new.items() if name not in old]
    said += [f"{name} removed" for name in old if name not in new]
    for name in (name for name in new if name in old):
        said += _parameter_changes(name, old[name], new[name])
    if not said and [*old] != [*new]:
        said.append(f"order {', '.join(old)} -> {', '.join(new)}")
    returns = [each["returns"]["text"] if each["returns"] else "nothing said" for each in (before, after)]
    return said + ([f"returns {returns[0]} -> {returns[1]}"] if returns[0] != returns[1] else [])


def _parameter_changes(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    said = []
    if old["type"]["text"] != new["type"]["text"]:
        said.append(f"{name}: {old['type']['text']} -> {new['type']['text']}")
    defaults = [_default(item) if item["has_default"] else "none" for item in (old, new)]
    if defaults[0] != defaults[1]:
        said.append(f"{name}: default {defaults[0]} -> {defaults[1]}")
    if old["keyword_only"] != new["keyword_only"]:
        said.append(f"{name}: {'by name only' if new['keyword_only'] else 'also by position'}")
    return said


def version_changes(versions: Sequence[TaskRecord]) -> list[str]:
    """Say of each deployment, newest first, what it changed against the one before it; `first` of the first one."""
    said = []
    for record, before in itertools.pairwise(versions):
        changes = interface_changes(before.interface, record.interface)
        said.append("; ".join(changes) or "same interface")
    return [*said, "first"] if versions else []
