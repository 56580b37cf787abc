"""Keep deployed tasks on record: in which version, with which code, environment and interface.

Invariants: a deployment is written once, with put-if-absent, and never changed; the last one of a task is its latest. A
version means one content: another content under its name is refused. So two that deploy at the same time are ordered
by the store, and neither undoes what the other one has put there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_ray.errors import DeploymentError, ObjectMissing, RemoteTaskNotFoundError
from flyte_ray.ledger.messages import TaskRef, read_ref
from flyte_ray.ledger.paths import TASKS, task_key, task_prefix
from flyte_ray.storage import Store

_TRIES: Final = 100
_READERS: Final = 16


@dataclass(frozen=True)
class TaskRecord:
    """One deployment of a task."""

    name: str
    """`<environment>.<function>`."""
    revision: int
    """Counts the task's deployments from 1."""
    version: str
    """As it was given, else the digest."""
    digest: str
    """Of all that decides what runs."""
    at_us: int
    by: str
    """Who deployed it, `user@host`."""
    code: str | None
    """The marker of its code."""
    task: Sequence[Any]
    """By what slots find it, the fields of a `TaskRef`."""
    identity: str
    """Names its actions, see `runtime/naming.py`."""
    interface: Mapping[str, Any]
    """`parameters` in their order, each with `name`, `type` (`text`, `form`), `keyword_only`, `has_default`, where that
    is plain its `default`, else the `default_text`; `returns`, None where nothing is annotated; and `schema`."""
    environment: Mapping[str, Any]
    """`name`, `image`, `description`, as people read them; `images`, if any: what those of its code came to, by
    environment."""
    cache: Mapping[str, Any] | None = None
    """How its outcomes are kept: `version`, `serialize`, `ignored_inputs`, `max_age_s`; None if they are not."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """`short_name`, `docs`, `source`, `entrypoint`, `max_inline_io_bytes`, `queue`."""

    @property
    def ref(self) -> TaskRef:
        """By what slots find it."""
        return read_ref(json.dumps(self.task))


def list_deployed(store: Store) -> list[TaskRecord]:
    """Read the latest deployment of all tasks, by name."""
    newest = {key.split("/")[1]: key for key in sorted(store.keys(TASKS))}
    with ThreadPoolExecutor(_READERS, "flyte-ray-tasks") as pool:
        found = pool.map(lambda name: _read_newest(store, name, newest[name]), sorted(newest))
        return [record for record in found if record is not None]


def _read_newest(store: Store, name: str, key: str) -> TaskRecord | None:
    try:
        return _read(store.get(key))
    except ObjectMissing:  # deleted meanwhile: an earlier one may be left
        return find_deployed(store, name)


def list_versions(store: Store, name: str) -> list[TaskRecord]:
    """Read all deployments of a task, the newest first.

    Raises:
        RemoteTaskNotFoundError: The root holds none of this name.

    """
    found = list(_newest_first(store, name))
    if not found:
        raise _missing(store, name)
    return found


def find_deployed(store: Store, name: str) -> TaskRecord | None:
    """Read the latest deployment of a task; None if the root holds none of this name."""
    return next(_newest_first(store, name), None)


def load_deployed(
    store: Store, name: str, version: str | None = None, *, code: str | None = None, of_code: bool = False
) -> TaskRecord:
    """Read a deployment of a task.

    Args:
        store: The root.
        name: The task.
        version: The one wanted; None for the latest.
        code: A marker of code.
        of_code: The latest with that code is wanted.

    Raises:
        RemoteTaskNotFoundError: There is no such task, or not in this version.

    """
    others = []
    for record in _newest_first(store, name):
        if of_code and record.code != code:
            continue
        if version in (None, record.version):
            return record
        others.append(record.version)
    if of_code:
        raise RemoteTaskNotFoundError(
            f"{store.uri} should hold a deployment of task '{name}' with the code of the task that asks for its current"
            f" version, but does not. Deploy both together, or ask for auto_version='latest'."
        )
    if others:
        raise RemoteTaskNotFoundError(
            f"{store.uri} should hold task '{name}' in version {version!r}, but does not: it was deleted, or never"
            f" deployed here. It has: {', '.join(dict.fromkeys(others))}."
        )
    raise _missing(store, name)


def add_deployment(store: Store, record: TaskRecord) -> tuple[TaskRecord, bool]:
    """Put a task on record, unless its latest deployment has the same content and version.

    Returns:
        The deployment that counts, and whether this call made it.

    Raises:
        DeploymentError: The version was deployed with another content, be it at this moment.

    """
    latest = check_deployment(store, record)
    for _ in range(_TRIES):
        if latest is not None and (latest.version, latest.digest) == (record.version, record.digest):
            return latest, False
        made = dataclasses.replace(record, revision=latest.revision + 1 if latest else 1)
        if store.put_if_absent(task_key(record.name, made.revision), _dump(made)):
            return made, True
        latest = _read(store.get(task_key(record.name, made.revision)))
        _refuse_other(record, latest)
    raise AssertionError(f"{_TRIES} deployments of task {record.name} were made by others at this moment")


def check_deployment(store: Store, record: TaskRecord) -> TaskRecord | None:
    """Refuse a task whose version was deployed with another content; returns its latest deployment.

    Raises:
        DeploymentError: It was.

    """
    latest = None
    for known in _newest_first(store, record.name):
        latest = latest or known
        _refuse_other(record, known)
    return latest


def _refuse_other(record: TaskRecord, known: TaskRecord) -> None:
    if known.version == record.version and known.digest != record.digest:
        raise DeploymentError(
            f"Version {record.version!r} of task '{record.name}' should be new, but was deployed by {known.by} with"
            f" other content. Choose another version, or leave it out: it is then made of the content."
        )


def delete_deployed(store: Store, name: str, version: str | None = None) -> list[str]:
    """Take a version of a task, or all of them, off the record; returns the versions.

    Runs that use them go on: what they need stands in their own record.

    Raises:
        RemoteTaskNotFoundError: There is no such task, or not in this version.

    """
    load_deployed(store, name, version)
    gone = [record for record in _newest_first(store, name) if version in (None, record.version)]
    store.delete([task_key(name, record.revision) for record in gone])
    return list(dict.fromkeys(record.version for record in gone))


def _newest_first(store: Store, name: str) -> Iterator[TaskRecord]:
    for key in reversed(store.keys(task_prefix(name))):
        if key.split("/")[1] != name:  # a store may take the prefix as text
            continue
        try:
            yield _read(store.get(key))
        except ObjectMissing:  # deleted meanwhile
            continue


def _missing(store: Store, name: str) -> RemoteTaskNotFoundError:
    known = [record.name for record in list_deployed(store)]
    listed = f"It holds: {', '.join(known)}" if known else "It holds none"
    return RemoteTaskNotFoundError(
        f"{store.uri} should hold a deployed task '{name}', but does not. {listed}. 'flyte-ray deploy FILE' puts the"
        f" tasks of a file there."
    )


def _dump(record: TaskRecord) -> bytes:
    return json.dumps(dataclasses.asdict(record), sort_keys=True).encode()


def _read(data: bytes) -> TaskRecord:
    return TaskRecord(**json.loads(data))
