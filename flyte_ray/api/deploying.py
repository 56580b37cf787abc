"""Put the tasks of environments on record with their code, for runs and tasks that have it not.

Knows nothing of apps: `apps/deployment.py` deploys both.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, get_args

from flyte_ray.api.declared import Environment
from flyte_ray.api.describing import record_of
from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.reachable import inclusions_of
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.triggering import deploy_triggers, describe_trigger, have_fired
from flyte_ray.cluster.bundle import Bundle, CopyStyle
from flyte_ray.cluster.code import pack_code
from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.ledger.interfaces import interface_changes, interface_text
from flyte_ray.ledger.paths import code_key
from flyte_ray.ledger.tasks import TaskRecord, add_deployment, check_deployment
from flyte_ray.ledger.triggers import TriggerRecord
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store, ensure_writable

UNCHANGED: Final = "unchanged"
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class DeployedEntity:
    """A task as it was deployed, or would be."""

    record: TaskRecord
    change: str
    """`new`, `unchanged`, or how it differs from the latest deployment before."""
    triggers: tuple[str, ...] = ()
    """What was done with its triggers, one sentence each; nothing for what is as it was."""

    @property
    def name(self) -> str:
        """`<environment>.<function>`."""
        return self.record.name

    @property
    def version(self) -> str:
        """As it was given, else a digest of the content."""
        return self.record.version

    @property
    def is_changed(self) -> bool:
        """Whether the latest deployment before was another one, or a trigger is another one now."""
        return self.change != UNCHANGED or bool(self.triggers)

    @property
    def interface(self) -> str:
        """Its parameters and output, as one line of Python."""
        return interface_text(self.record.interface)


@dataclass(frozen=True)
class DeployedEnvironment:
    """An environment with what was deployed of it."""

    environment: Environment
    tasks: tuple[DeployedEntity, ...]


def plan_tasks(
    envs: Iterable[TaskEnvironment], *, version: str | None = None, copy_style: CopyStyle = "loaded_modules"
) -> TaskPlan:
    """Check what is to be deployed; nothing is stored.

    Args:
        envs: Whose tasks they are.
        version: Of all these tasks; None: of each a digest of its code, environment and interface.
        copy_style: Which files of the project travel: `loaded_modules`, `all` or `none`.

    Raises:
        InvalidDeclaration: The version has another form.
        CodeBundleError: A task does not stand at the top level of a file.
        DeploymentError: The version was deployed with another content.

    """
    _check(version, copy_style)
    store, packer = current_store(), _Packer(copy_style)
    return TaskPlan(store, packer, {env.name: (env, _plan(store, env, packer, version)) for env in envs})


@dataclass(frozen=True)
class TaskPlan:
    """Tasks that are to be deployed."""

    store: Store
    packer: _Packer
    planned: Mapping[str, tuple[TaskEnvironment, list[_Planned]]]
    """By environment."""

    @property
    def count(self) -> int:
        """How many tasks there are."""
        return sum(len(tasks) for _, tasks in self.planned.values())

    def put(self) -> dict[str, DeployedEnvironment]:
        """Store all that has changed; by environment.

        Raises:
            StoreError: The root cannot be written.

        """
        if not self.count:
            return self._told({})
        ensure_writable(self.store)
        tasks = [task.with_triggers(self.store) for _, found in self.planned.values() for task in found]
        self.packer.store_in(self.store)
        entities = {task.record.name: _put(self.store, task) for task in tasks}
        if any(each.active and each.automation for task in tasks for each in task.triggers):
            have_fired(self.store)
        return self._told(entities)

    def say(self) -> dict[str, DeployedEnvironment]:
        """Say what would be deployed; by environment."""
        return self._told({task.record.name: _say(task) for _, found in self.planned.values() for task in found})

    def _told(self, entities: Mapping[str, DeployedEntity]) -> dict[str, DeployedEnvironment]:
        return {
            name: DeployedEnvironment(env, tuple(entities[task.record.name] for task in found))
            for name, (env, found) in self.planned.items()
        }


class _Planned(NamedTuple):
    """A task that is to be deployed."""

    spec: TaskSpec
    record: TaskRecord
    before: TaskRecord | None
    """Its latest deployment so far."""
    triggers: tuple[TriggerRecord, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether that is the same."""
        before = self.before
        return before is not None and (before.version, before.digest) == (self.record.version, self.record.digest)

    def with_triggers(self, store: Store) -> _Planned:
        """Describe its triggers, too, which stores large inputs."""
        describe = partial(describe_trigger, store, version=self.record.version, deployed=True)
        given = self.spec.triggers
        return self._replace(triggers=tuple(describe(each, self.spec.name, self.spec.interface) for each in given))


def _plan(store: Store, env: TaskEnvironment, packer: _Packer, version: str | None) -> list[_Planned]:
    describe = partial(record_of, version=version, at_us=time.time_ns() // 1000, by=current_user())
    records = [(task.spec, describe(task.spec, packer.code_of(task.spec))) for task in env.tasks.values()]
    return [_Planned(spec, record, check_deployment(store, record)) for spec, record in records]


def _check(version: str | None, copy_style: str) -> None:
    if version is not None and not (isinstance(version, str) and _VERSION.fullmatch(version)):
        raise InvalidDeclaration(
            f"A version must be letters, digits and '.', '_' or '-', got {version!r:.200}. Write for example '1.2', or"
            f" leave it out."
        )
    if copy_style not in get_args(CopyStyle):
        raise UnsupportedError(
            f"copy_style must be one of {', '.join(map(repr, get_args(CopyStyle)))}, got {copy_style!r}."
            f" Leave it out to take the modules that are loaded."
        )


class _Packer:
    """Packs the code of tasks; what stands in one file, and includes the same, is packed once."""

    def __init__(self, copy_style: CopyStyle) -> None:
        self._copy_style = copy_style
        self._packed: dict[Any, tuple[str, Bundle] | None] = {}

    def code_of(self, task: TaskSpec) -> str | None:
        """Return the marker of a task's code."""
        include = inclusions_of(task)
        key = task.source_file, tuple(include)
        if key not in self._packed:
            self._packed[key] = pack_code(task, self._copy_style, include, settings.root_dir)
        packed = self._packed[key]
        return packed[0] if packed else None

    def store_in(self, store: Store) -> None:
        """Store what was packed, unless the root has it."""
        for packed in self._packed.values():
            if packed and not store.exists(code_key(packed[1].digest)):
                store.put(code_key(packed[1].digest), packed[1].data)


def _put(store: Store, task: _Planned) -> DeployedEntity:
    made, is_new = add_deployment(store, task.record)
    said = deploy_triggers(store, made.name, task.triggers)
    return DeployedEntity(made, _change(task.before, made) if is_new else UNCHANGED, tuple(said))


def _say(task: _Planned) -> DeployedEntity:
    said = tuple(f"Trigger {task.record.name}/{each.name} is declared." for each in task.spec.triggers)
    return DeployedEntity(task.record, UNCHANGED if task.is_known else _change(task.before, task.record), said)


def _change(before: TaskRecord | None, record: TaskRecord) -> str:
    if before is None:
        return "new"
    return "; ".join(interface_changes(before.interface, record.interface)) or "same interface"
