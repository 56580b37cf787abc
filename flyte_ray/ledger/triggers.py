"""Keep triggers on record: what starts runs of a deployed task, when, with which inputs, and up to when that was done.

Invariants: a revision is written once, with put-if-absent; the last one of a trigger counts. The run of a fire is named
by trigger and moment, so that a fire starts one run, whoever starts it and how often.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.paths import TRIGGERS, fired_key, trigger_data_place, trigger_key, trigger_prefix
from flyte_ray.ledger.revisions import put_next
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.schedule import Automation, at, load_automation
from flyte_ray.spec.trigger import CatchUp, Overlap
from flyte_ray.storage import Store

TIME: Final = "{TriggerTime}"
"""Stands in the text of a stored input for the moment of the fire."""


@dataclass(frozen=True)
class TriggerRecord:
    """One revision of a trigger."""

    task: str
    name: str
    revision: int
    """Counts from 1: deployments, and switching off and on."""
    version: str | None
    """Of the task that its runs use; None for the latest when it fires."""
    active: bool
    activated_us: int
    """Fires before this moment do not count."""
    automation: Mapping[str, Any] | None
    """See `spec/schedule.py`; None if it is run on demand alone."""
    inputs: Mapping[str, str]
    """JSON of each input that it gives, in the order of the parameters; `TIME` in it is the moment of the fire."""
    at_us: int
    by: str
    deployed: bool = True
    """It stands in the task's code; else it was made by itself."""
    description: str = ""
    catchup: CatchUp = "once"
    overlap: Overlap = "allow"
    about: Mapping[str, Any] = field(default_factory=dict)
    """Of its runs: `env_vars`, `labels`, `custom_context`, `notifications`, `overwrite_cache`, and the `key` that their
    pickles are signed with, if the ledger has that."""

    @property
    def schedule(self) -> Automation | None:
        """When it fires."""
        return load_automation(dict(self.automation) if self.automation else None)

    @property
    def id(self) -> str:
        """`<task>/<name>`."""
        return f"{self.task}/{self.name}"

    def means(self, other: TriggerRecord) -> bool:
        """Whether it is the same as another one, whoever wrote it, when, and whether it is active."""
        unset: dict[str, Any] = {"revision": 0, "at_us": 0, "by": "", "active": True, "activated_us": 0}
        return bool(_plain(dataclasses.replace(self, **unset)) == _plain(dataclasses.replace(other, **unset)))


@dataclass(frozen=True)
class Fired:
    """What was done of a trigger."""

    seen_us: int = 0
    """All fires up to this moment were decided."""
    queue: tuple[int, ...] = ()
    """Fires that wait for the end of the last run, in microseconds since the epoch."""
    last_us: int = 0
    """The last fire that started a run."""
    last_run: str = ""
    skipped: int = 0
    """Fires that were left out: missed, or because the last run went on."""
    error: str = ""
    """Why the last fire started no run; empty if it did."""


def run_name(record: TriggerRecord, fire_us: int) -> RunId:
    """Name the run of a fire."""
    return RunId(f"{name_runs(record)}{at(fire_us).strftime('%Y%m%dt%H%M%S')}")


def name_runs(record: TriggerRecord) -> str:
    """Return how the names of a trigger's runs begin."""
    plain = re.sub(r"[^a-z0-9]+", "-", record.name.lower()).strip("-")[:24].strip("-") or "trigger"
    return f"{plain}-{hashlib.sha256(record.id.encode()).hexdigest()[:6]}-"


def inputs_at(record: TriggerRecord, fire_us: int) -> dict[str, Any]:
    """Return the stored inputs of the run of a fire, by parameter."""
    moment = at(fire_us).isoformat()
    return {name: json.loads(text.replace(TIME, moment)) for name, text in record.inputs.items()}


def find_trigger(store: Store, task: str, name: str) -> TriggerRecord | None:
    """Read the last revision of a trigger; None if the task has none of this name."""
    for key in reversed(store.keys(trigger_prefix(task, name))):
        if key.split("/")[1:3] == [task, name] and (found := read_trigger(store, key)) is not None:
            return found
    return None


def load_trigger(store: Store, task: str, name: str) -> TriggerRecord:
    """Read the last revision of a trigger.

    Raises:
        ObjectMissing: The task has none of this name.

    """
    found = find_trigger(store, task, name)
    if found is not None:
        return found
    known = [record.name for record in list_triggers(store, task)]
    raise ObjectMissing(
        f"{store.uri}/{trigger_prefix(task, name)}",
        f"{store.uri} should hold a trigger '{name}' of task '{task}', but does not. It has:"
        f" {', '.join(known) or 'none'}. 'flyte-ray get trigger' lists all.",
    )


def latest_keys(store: Store) -> dict[str, str]:
    """Return the keys of the last revisions of all triggers, by `<task>/<name>`."""
    return {key.rpartition("/")[0].partition("/")[2]: key for key in sorted(store.keys(TRIGGERS))}


def read_trigger(store: Store, key: str) -> TriggerRecord | None:
    """Read a revision; None if it was deleted meanwhile."""
    try:
        return TriggerRecord(**json.loads(store.get(key)))
    except ObjectMissing:
        return None


def list_triggers(store: Store, task: str | None = None) -> list[TriggerRecord]:
    """Read the last revisions of all triggers, or of those of a task, by task and name."""
    keys = latest_keys(store)
    wanted = (keys[each] for each in sorted(keys) if task is None or each.partition("/")[0] == task)
    return [record for record in (read_trigger(store, key) for key in wanted) if record is not None]


def add_trigger(store: Store, record: TriggerRecord) -> TriggerRecord:
    """Put a revision on record, with the next number that is free; returns it as it was written."""
    before = find_trigger(store, record.task, record.name)
    number = put_next(
        store,
        before.revision + 1 if before else 1,
        lambda number: trigger_key(record.task, record.name, number),
        lambda number: _dump(dataclasses.replace(record, revision=number)),
    )
    return dataclasses.replace(record, revision=number)


def delete_trigger(store: Store, task: str, name: str) -> None:
    """Take a trigger off the record; its runs stay, and the values that they refer to."""
    keys = [key for key in store.keys(trigger_prefix(task, name)) if key.split("/")[1:3] == [task, name]]
    store.delete([*keys, fired_key(task, name)])


def load_fired(store: Store, task: str, name: str) -> Fired:
    """Read what was done of a trigger."""
    try:
        raw = json.loads(store.get(fired_key(task, name)))
    except ObjectMissing:
        return Fired()
    return Fired(**{**raw, "queue": tuple(raw["queue"])})


def put_fired(store: Store, record: TriggerRecord, fired: Fired) -> None:
    """Say what was done of a trigger."""
    store.put(fired_key(record.task, record.name), json.dumps(dataclasses.asdict(fired)).encode())


def data_place(record: TriggerRecord) -> str:
    """Where large values among its inputs lie."""
    return trigger_data_place(record.task, record.name)


def _dump(record: TriggerRecord) -> bytes:
    return json.dumps(dataclasses.asdict(record)).encode()  # the order of the inputs is that of the parameters


def _plain(record: TriggerRecord) -> Any:
    return json.loads(_dump(record))
