"""Hold what an action's code may ask about itself, per thread and asyncio task."""

from __future__ import annotations

import functools
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flyte_ray.runtime.redaction import redact

if TYPE_CHECKING:
    from flyte_ray.runtime.checkpoint import Checkpoint
    from flyte_ray.runtime.controller import Controller
    from flyte_ray.runtime.execution import Execution
    from flyte_ray.runtime.report import Report
    from flyte_ray.runtime.steps import OpenStep


@dataclass
class ActionContext:
    """One attempt of an action, as its code sees it; mirrors Flyte's `TaskContext`."""

    run_name: str
    action_name: str
    attempt_number: int
    """Counts attempts from 0."""
    controller: Controller = field(repr=False)
    execution: Execution = field(repr=False)
    mode: str = "remote"
    """`local` or `remote`."""
    custom_context: dict[str, str] = field(default_factory=dict)
    report_stored: bool = False
    """The code has had its report stored itself."""

    @property
    def attempt(self) -> tuple[str, str, int]:
        """Tells this attempt from all others in its process."""
        return self.run_name, self.action_name, self.attempt_number

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        """What this attempt was handed, and what it saves; one object, which owns the local copy."""
        from flyte_ray.runtime.checkpoint import Checkpoint  # few tasks have any

        return Checkpoint(self.controller.blobs, self.action_name, self.attempt_number)

    @functools.cached_property
    def report(self) -> Report:
        """What this attempt has to show; made when it is first asked for."""
        from flyte_ray.runtime.report import Report  # few tasks have any

        return Report(f"{self.execution.known.task.name}, {self.action_name} of run {self.run_name}")

    @property
    def has_report(self) -> bool:
        """Whether anything was reported."""
        return "report" in self.__dict__ and self.report.has_content()

    def store_report(self) -> None:
        """Store the report as it is now, in the place of what was stored before."""
        from flyte_ray.runtime.report import report_key  # see above

        blobs = self.controller.blobs
        key = report_key(blobs.prefix, self.action_name, self.attempt_number)
        blobs.store.put(key, redact(self.report.get_final_report()).encode("utf-8", "replace"))
        self.report_stored = True


current_action: ContextVar[ActionContext | None] = ContextVar("flyte_ray_action", default=None)
current_group: ContextVar[str | None] = ContextVar("flyte_ray_group", default=None)
current_step: ContextVar[OpenStep | None] = ContextVar("flyte_ray_step", default=None)
"""The traced function that runs here."""
current_custom: ContextVar[dict[str, str] | None] = ContextVar("flyte_ray_custom", default=None)
