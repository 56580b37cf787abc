"""What clients of the HTTP API send, and on whose behalf it is done."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel, Field

from flyte_ray.errors import ObjectMissing
from flyte_ray.runtime.user import acting_for
from flyte_ray.spec.ids import ROOT_ACTION, validate_run_name

BY: Final = "flyte_ray.by"
"""Key of the ASGI scope under which stands on whose behalf the server acts, where that is not a token's name."""


class Start(BaseModel):
    """What a run is started with."""

    task: str = Field(description="Qualified name of a task, such as `env.function`.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Its arguments, as JSON, by parameter.")
    name: str | None = Field(default=None, description="The run's name, unique in the root; made up if left out.")
    labels: dict[str, str] = Field(default_factory=dict)
    version: str | None = Field(default=None, description="Of a deployed task; the latest if left out.")


class Abort(BaseModel):
    """Why a run is aborted."""

    reason: str = "aborted by the HTTP API"
    action: str = Field(default=ROOT_ACTION, description="The action to abort with all below it; the run by default.")


class Answer(BaseModel):
    """What a condition is answered with."""

    value: Any = Field(description="Of the condition's type.")


class Signal(Answer):
    """Which condition is answered with what."""

    name: str = Field(description="The condition's name, or its id.")


class Rerun(BaseModel):
    """What a run is started anew with."""

    action: str = Field(default=ROOT_ACTION, description="The action that it begins with; the whole run by default.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="JSON in place of recorded inputs, by parameter.")
    recover: bool = Field(default=False, description="Take over what succeeded, and run the rest.")
    name: str | None = Field(default=None, description="The new run's name; made up if left out.")


def named(run: str) -> str:
    """Refuse what is no run's name before it becomes a part of a path."""
    return validate_run_name(run)


def plain_name(name: str) -> str:
    """Refuse what is no name of a task or trigger before it becomes a part of a path."""
    if not name.strip(".") or "/" in name or "\\" in name:
        raise ObjectMissing(name, f"There is no {name!r}: names of tasks are ENV.FUNCTION.")
    return name


def who(request: Request) -> str:
    """Name on whose behalf a request acts: `NAME@http` by its token, or as the server was told."""
    return str(request.scope.get(BY) or f"{request.scope.get('flyte_ray.token', 'http')}@http")


def acting(request: Request) -> AbstractContextManager[None]:
    """Act on behalf of who asks, in a block."""
    return acting_for(who(request))
