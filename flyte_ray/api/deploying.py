"""Deploy environments: their tasks are put on record with their code, for runs and tasks that have it not."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, get_args

from flyte_ray.api.both import both_forms
from flyte_ray.api.declared import Environment
from flyte_ray.api.describing import record_of
from flyte_ray.api.environment import TaskEnvironment
from flyte_ray.api.reachable import inclusions_of
from flyte_ray.api.settings import current_store, settings
from flyte_ray.api.triggering import deploy_triggers, describe_trigger, have_fired
from flyte_ray.api.unsupported import ignore_foreign
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

_log: Final = logging.getLogger("flyte_ray")
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


@dataclass(frozen=True)
class Deployment:
    """An environment with those that it depends on, by name. Mirrors Flyte's `Deployment`."""

    envs: dict[str, DeployedEnvironment]

    @property
    def tasks(self) -> tuple[DeployedEntity, ...]:
        """All tasks of it."""
        return tuple(task for env in self.envs.values() for task in env.tasks)

    def summary_repr(self) -> str:
        """Say it in one line per task."""
        lines = [(f"{task.name} {task.version}: {task.change}", *task.triggers) for task in self.tasks]
        return "\n".join(line for each in lines for line in each)


@both_forms
def deploy(
    *envs: Environment,
    dry_run: bool = False,
    version: str | None = None,
    interactive_mode: bool | None = None,
    copy_style: CopyStyle = "loaded_modules",
    dryrun: bool | None = None,
) -> list[Deployment]:
    """Put the tasks of environments on record, with those of the environments that they depend on.

    A task whose latest deployment has the same content stays as it is. All is checked before anything is stored, tasks
    are stored one after another: repeat it if it was cut off.

    Args:
        envs: At least one.
        dry_run: Only say what would be deployed; nothing is stored.
        version: Of all these tasks; default: of each a digest of its code, environment and interface. A version that
            was given once stands for that content.
        interactive_mode: Accepted: what stands in a notebook has no file from which others could import it.
        copy_style: Which files of the project travel: `loaded_modules`, `all` or `none`.
        dryrun: Flyte's other name of `dry_run`.

    Returns:
        One deployment for each of `envs`.

    Raises:
        TypeError: One of them is no environment.
        InvalidDeclaration: There are none, they have no tasks, or the version has another form.
        CodeBundleError: A task does not stand at the top level of a file.
        DeploymentError: The version was deployed with another content.
        StoreError: The root cannot be written.

    Source: `flyte.deploy`.

    """
    ignore_foreign("flyte.deploy", {"interactive_mode": interactive_mode}, ("interactive_mode",))
    _check(envs, version, copy_style)
    store, packer, puts = current_store(), _Packer(copy_style), not (dry_run or dryrun)
    planned: dict[str, tuple[TaskEnvironment, list[_Planned]]] = {}
    for env in (each for given in envs for each in _with_dependencies(given)):
        if env.name not in planned:
            planned[env.name] = env, _plan(store, env, packer, version)
    tasks = [task for _, found in planned.values() for task in found]
    _check_any(envs[0], tasks)
    if puts:
        ensure_writable(store)
        tasks = [task.with_triggers(store) for task in tasks]
        packer.store_in(store)
    entities = {task.record.name: _put(store, task) if puts else _say(task) for task in tasks}
    if puts and any(each.active and each.automation for task in tasks for each in task.triggers):
        have_fired(store)
    done = {
        name: DeployedEnvironment(env, tuple(entities[task.record.name] for task in found))
        for name, (env, found) in planned.items()
    }
    return [Deployment({env.name: done[env.name] for env in _with_dependencies(given)}) for given in envs]


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


def _check(envs: Sequence[Environment], version: str | None, copy_style: str) -> None:
    if not envs:
        raise InvalidDeclaration("flyte.deploy expects at least one environment, got none. Pass one.")
    for env in envs:
        if not isinstance(env, Environment):
            raise TypeError(
                f"flyte.deploy expects environments, got {type(env).__name__} {env!r:.80}. Pass the TaskEnvironment."
            )
        if not isinstance(env, TaskEnvironment):
            raise UnsupportedError(
                f"flyte.deploy puts tasks on record, got the app '{env.name}'. Serve it: flyte.serve(...), or"
                f" 'flyte-ray serve FILE {env.name}'."
            )
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


def _check_any(first: Environment, tasks: Collection[_Planned]) -> None:
    if not tasks:
        raise InvalidDeclaration(
            f"Environment '{first.name}' should have tasks to deploy, but has none. Decorate functions with @env.task."
        )


def _with_dependencies(env: Environment) -> Iterator[TaskEnvironment]:
    """Yield an environment and all that it depends on, each once."""
    waiting, seen = [env], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        waiting += each.depends_on
        if isinstance(each, TaskEnvironment):
            yield each
        else:
            _log.info("app '%s' is not deployed with the tasks that depend on it: serve it", each.name)


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
