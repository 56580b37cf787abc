"""Hold what an action's code may ask about itself, per thread and asyncio task."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyte_ray.runtime.controller import Controller


@dataclass
class ActionContext:
    """One attempt of an action, as its code sees it; mirrors Flyte's `TaskContext`."""

    run_name: str
    action_name: str
    attempt_number: int
    """Counts attempts from 0."""
    controller: Controller
    custom_context: dict[str, str] = field(default_factory=dict)
    calls: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)
    """Identical calls so far in this attempt: what the sequence number of an id counts."""


current_action: ContextVar[ActionContext | None] = ContextVar("flyte_ray_action", default=None)
current_group: ContextVar[str | None] = ContextVar("flyte_ray_group", default=None)
current_custom: ContextVar[dict[str, str] | None] = ContextVar("flyte_ray_custom", default=None)
