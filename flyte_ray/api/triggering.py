"""Put triggers on record, and start their runs from here: on demand, and for a range of the past.

What a trigger gives its runs is checked and stored when it is put on record, as a call's arguments are.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from flyte_ray.api.deployed import TaskDetails
from flyte_ray.api.run import Run
from flyte_ray.api.runner import Runner
from flyte_ray.api.settings import current_pickling, current_store, settings
from flyte_ray.cluster.session import connect, ensure_ledger, has_cluster
from flyte_ray.errors import InvalidDeclaration, RunAlreadyExistsError
from flyte_ray.ledger.outputs import take
from flyte_ray.ledger.tasks import load_deployed
from flyte_ray.ledger.triggers import (
    TIME,
    TriggerRecord,
    add_trigger,
    data_place,
    find_trigger,
    inputs_at,
    list_triggers,
    run_name,
)
from flyte_ray.runtime.blobs import RunBlobs, blobs_at
from flyte_ray.runtime.deployed import spec_of
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.interface import Interface
from flyte_ray.spec.notification import load_notification
from flyte_ray.spec.schedule import dump_automation, fires, us_of
from flyte_ray.spec.trigger import Trigger
from flyte_ray.storage import Store
from flyte_ray.types import build_codec

MOST: Final = 1000
"""Runs of one backfill."""
_SAMPLE: Final = datetime(2001, 2, 3, 4, 5, 6, tzinfo=timezone.utc)


def describe_trigger(
    store: Store, trigger: Trigger, task: str, interface: Interface, version: str | None, *, deployed: bool
) -> TriggerRecord:
    """Describe a trigger for the record; its inputs are stored.

    Args:
        store: The root.
        trigger: As it was declared.
        task: Its task.
        interface: The task's.
        version: That its runs use; None for the latest.
        deployed: It stands in the task's code.

    Raises:
        InvalidDeclaration: Its inputs do not fit the task.

    """
    trigger.check_for(task, interface)
    now = time.time_ns() // 1000
    pickling = current_pickling(None, make=False)
    record = TriggerRecord(
        task=task,
        name=trigger.name,
        revision=0,
        version=version,
        active=trigger.auto_activate,
        activated_us=now,
        automation=dump_automation(trigger.automation),
        inputs={},
        at_us=now,
        by=current_user(),
        deployed=deployed,
        description=trigger.description,
        catchup=trigger.catchup,
        overlap=trigger.overlap,
        about={
            "env_vars": dict(trigger.env_vars or {}),
            "labels": dict(trigger.labels or {}),
            "custom_context": dict(trigger.custom_context or {}),
            "notifications": [notice.dump() for notice in trigger.told],
            "overwrite_cache": trigger.overwrite_cache,
            "queue": trigger.queue,
            "max_action_concurrency": trigger.max_action_concurrency or 0,
            "key": pickling.key.id if pickling.key else None,
        },
    )
    blobs = blobs_at(store, data_place(record), pickling)
    return dataclasses.replace(record, inputs=_stored_inputs(trigger, task, interface, blobs))


def _stored_inputs(trigger: Trigger, task: str, interface: Interface, blobs: RunBlobs) -> dict[str, str]:
    given, times = dict(trigger.inputs or {}), trigger.time_inputs
    values = {
        item.name: _SAMPLE if item.name in times else given[item.name]
        for item in interface.parameters
        if item.name in given
    }
    try:
        raw = json.loads(build_codec(interface, task).encode_inputs(values, blobs).text)
    except TypeError as error:
        raise InvalidDeclaration(
            f"Trigger '{trigger.name}' should have inputs that fit its task, but: {error}"
        ) from error
    stored = {}
    for name, part in raw.items():
        text = take(blobs.root, blobs.prefix, json.dumps(part))
        assert text is not None, "it was stored just now"
        stored[name] = text.replace(_SAMPLE.isoformat(), TIME) if name in times else text
    return stored


def put_trigger(store: Store, record: TriggerRecord) -> tuple[TriggerRecord, str]:
    """Put a trigger on record, unless it is there; whether it is active stays as a person has set it.

    Returns:
        The revision that counts, and `new`, `changed` or `unchanged`.

    """
    before = find_trigger(store, record.task, record.name)
    if before is None:
        return add_trigger(store, record), "new"
    if before.means(record):
        return before, "unchanged"
    kept = record.automation == before.automation and before.active
    since = before.activated_us if kept else record.activated_us
    return add_trigger(store, dataclasses.replace(record, active=before.active, activated_us=since)), "changed"


def deploy_triggers(store: Store, task: str, triggers: Sequence[TriggerRecord]) -> list[str]:
    """Put the triggers that a task's code holds on record, and switch off those that it does not hold any more.

    Returns:
        What was done, one sentence each; nothing for what is as it was.

    """
    said = []
    for record in triggers:
        found, change = put_trigger(store, record)
        if change != "unchanged":
            said.append(f"Trigger {found.id} is {change}, and {'active' if found.active else 'not active'}.")
    names = {record.name for record in triggers}
    for found in list_triggers(store, task):
        if found.deployed and found.active and found.name not in names:
            switch(store, found, active=False)
            said.append(f"Trigger {found.id} is not in the code any more, and was switched off.")
    return said


def have_fired(store: Store) -> bool:
    """Have a ledger of the connected cluster fire the triggers of a root; False if there is no cluster."""
    if not has_cluster(settings.address):
        return False
    connect(settings.address)
    from flyte_ray.cluster.client import LedgerClient  # imports ray, which is connected by now

    LedgerClient(store, ensure_ledger(store, lasting=True), current_pickling()).lend_key()
    return True


def switch(store: Store, record: TriggerRecord, *, active: bool) -> TriggerRecord:
    """Have a trigger fire from now on, or no more; nothing if it is so already."""
    if record.active == active:
        return record
    now = time.time_ns() // 1000
    since = now if active else record.activated_us
    changed = dataclasses.replace(record, active=active, activated_us=since, at_us=now, by=current_user())
    return add_trigger(store, changed)


def run_trigger(record: TriggerRecord, args: Sequence[Any], overrides: dict[str, Any]) -> Run:
    """Start a run of a trigger now, with other values for some of its inputs.

    Raises:
        TypeError: A value stands without the name of its input, or is not of its type.
        RemoteTaskNotFoundError: Its task was deleted, or that version of it.

    """
    if args:
        raise TypeError(
            f"Inputs in place of those of trigger {record.id} are given by name, got {args[0]!r:.80} without one. Write"
            f" flyte.run(trigger, name=value)."
        )
    return _run(record, time.time_ns() // 1000, overrides, Runner())


def _run(record: TriggerRecord, fire_us: int, overrides: dict[str, Any], runner: Runner) -> Run:
    store = current_store()
    task = load_deployed(store, record.task, record.version)
    spec = spec_of(task)
    raw = {name: part for name, part in inputs_at(record, fire_us).items() if name not in overrides}
    codec = build_codec(spec.interface, spec.name)
    values = codec.decode_inputs(json.dumps(raw), blobs_at(store, data_place(record), current_pickling(None)))
    about = record.about
    given = dataclasses.replace(
        runner,
        env_vars={**about["env_vars"], **runner.env_vars},
        labels={**about["labels"], **runner.labels},
        custom_context={**about["custom_context"], **runner.custom_context},
        overwrite_cache=about["overwrite_cache"] or runner.overwrite_cache,
        queue=runner.queue or about.get("queue"),
        max_action_concurrency=runner.max_action_concurrency or about.get("max_action_concurrency") or 0,
        notifications=runner.notifications or tuple(load_notification(each) for each in about["notifications"]),
    )
    started: Run = given.run(TaskDetails(task), **{**values, **overrides})
    return started


def fires_in(record: TriggerRecord, begin: datetime, end: datetime) -> list[datetime]:
    """Return when a trigger would have fired from one moment on, until before another one, in UTC.

    Raises:
        InvalidDeclaration: It does not fire by itself, the range is empty, or holds more than `MOST` fires.

    """
    schedule = record.schedule
    if schedule is None:
        raise InvalidDeclaration(
            f"A backfill needs a trigger with a schedule, but {record.id} is run on demand. Run it: flyte.run(trigger)."
        )
    begin, end = (each if each.tzinfo else each.replace(tzinfo=timezone.utc) for each in (begin, end))
    if not begin < end:
        raise InvalidDeclaration(
            f"A backfill goes from a moment to a later one, got {begin.isoformat()} to {end.isoformat()}. Turn"
            f" them round."
        )
    tick = timedelta(microseconds=1)
    anchor = datetime.fromtimestamp(record.activated_us / 1e6, timezone.utc)
    found: list[datetime] = []
    for fire in fires(schedule, begin - tick, end - tick, anchor):
        found.append(fire)
        if len(found) > MOST:
            raise InvalidDeclaration(
                f"A backfill starts at most {MOST:,} runs, but trigger {record.id} fires more often from"
                f" {begin.isoformat()} to {end.isoformat()}. Do it in parts."
            )
    return found


def backfill(
    record: TriggerRecord, begin: datetime, end: datetime, runner: Runner | None = None
) -> Iterator[tuple[datetime, Run, bool]]:
    """Start the runs that a trigger would have started in a range, in the order of time; see `fires_in`.

    Yields:
        The moment, its run, and whether it was started now: one that exists, because it was fired or filled in before,
        stays as it is.

    """
    store = current_store()
    for fire in fires_in(record, begin, end):
        name = run_name(record, us_of(fire))
        try:
            run = _run(record, us_of(fire), {}, dataclasses.replace(runner or Runner(), name=name))
        except RunAlreadyExistsError:
            yield fire, Run(store, name), False
            continue
        yield fire, run, True
