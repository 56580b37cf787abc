"""A task as another process has deployed it: what the ledger knows of it, without its code.

It is called like any task, with the reference on record, and so runs in slots that have that code.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.tasks import TaskRecord
from flyte_ray.spec.caching import Cache
from flyte_ray.spec.interface import ITS_OWN, Interface, Parameter
from flyte_ray.spec.task import EnvironmentSpec, TaskSpec
from flyte_ray.types.expressions import read_annotation

CODE: Final = "code"
"""Names the code of a deployed task among the options that it has in local mode."""
_NO_FUNC: Final = "deployed: its code is elsewhere"


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


def code_of(ref: TaskRef, variable: str) -> str | None:
    """Return the marker of the code that a task on record runs with, as far as its options say; `variable` names it."""
    options: dict[str, Any] = json.loads(ref.options)
    marker = options.get(CODE) or options.get("runtime_env", {}).get("env_vars", {}).get(variable)
    return str(marker) if marker else None


def spec_of(record: TaskRecord, *, interface: bool = True) -> DeployedTask:
    """Return a task that is on record in the form in which tasks are called.

    Args:
        record: It.
        interface: With its parameters and output; to read them imports the modules of their classes.

    """

    def elsewhere(*_: Any, **__: Any) -> Any:
        raise AssertionError(_NO_FUNC)

    ref, about = record.ref, record.about
    elsewhere.__name__, elsewhere.__qualname__ = record.name.rpartition(".")[2], ref.qualname
    elsewhere.__module__, elsewhere.__doc__ = ref.module, about.get("docs")
    return DeployedTask(
        name=record.name,
        short_name=about["short_name"],
        func=elsewhere,
        interface=interface_of(record) if interface else Interface((), inspect.Signature.empty, ref.is_async),
        environment=EnvironmentSpec(record.environment["name"], description=record.environment["description"]),
        cache=_cache(record.cache),
        max_inline_io_bytes=about["max_inline_io_bytes"],
        docs=about.get("docs"),
        queue=about.get("queue"),
        entrypoint=about["entrypoint"],
        ref=ref,
        code=record.code,
        identity=record.identity,
        source=about["source"],
        version=record.version,
    )


def interface_of(record: TaskRecord) -> Interface:
    """Return parameters and output of a task that is on record, as far as their classes are found here."""
    returns = record.interface["returns"]
    return Interface(
        tuple(_parameter(item) for item in record.interface["parameters"]),
        read_annotation(returns) if returns else inspect.Signature.empty,
        record.ref.is_async,
    )


def _parameter(item: Mapping[str, Any]) -> Parameter:
    has_default = item["has_default"]
    default = item.get("default", ITS_OWN) if has_default else inspect.Parameter.empty
    return Parameter(item["name"], read_annotation(item["type"]), has_default, default, item["keyword_only"])


def _cache(said: Mapping[str, Any] | None) -> Cache:
    if said is None:
        return Cache("disable")
    age = said["max_age_s"]
    return Cache(
        "override",
        version_override=said["version"],
        serialize=said["serialize"],
        ignored_inputs=tuple(said["ignored_inputs"]),
        max_age=int(age) if age else None,
    )
