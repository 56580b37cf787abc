"""A task as another process has deployed it: what the ledger knows of it, without its code.

It is called like any task, with the reference on record, and so runs in slots that have that code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flyte_ray.ledger.messages import TaskRef
from flyte_ray.spec.task import TaskSpec

NO_VARS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True)
class DeployedTask(TaskSpec):
    """A task's declaration, as far as it is on record; `func` only says that the code is elsewhere."""

    ref: TaskRef | None = None
    """By what slots find it."""
    code: str | None = None
    """The marker of its code."""
    identity: str = ""
    """See `runtime/naming.py`, where its own annotations count."""
    source: str = ""
    """The file that declared it."""
    version: str = ""

    @property
    def source_file(self) -> str:
        """The file that declared it, which may be on another machine."""
        return self.source

    @property
    def module(self) -> str:
        """The module that declares it in its code."""
        return self.ref.module if self.ref else ""


def options_with(ref: TaskRef, variables: Mapping[str, str], kept: str) -> dict[str, Any]:
    """Return a deployed task's Ray options, with the variables of a run laid over its own.

    Args:
        ref: The task's.
        variables: Of the run.
        kept: Name of the variable that stays as it is: which code its slots have.

    """
    options: dict[str, Any] = json.loads(ref.options)
    given = {name: value for name, value in variables.items() if name != kept}
    if given:
        runtime_env = options.get("runtime_env", {})
        own = {**runtime_env.get("env_vars", {}), **given}
        options["runtime_env"] = {**runtime_env, "env_vars": dict(sorted(own.items()))}
    return options
