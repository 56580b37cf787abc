"""What one holds of a trigger on record: found by its task and name, switched off and on, run, deleted."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from flyte_ray.api.both import both_forms_of_class, both_forms_of_method
from flyte_ray.api.settings import current_store
from flyte_ray.api.triggering import describe_trigger, have_fired, put_trigger, switch
from flyte_ray.ledger.paths import trigger_prefix
from flyte_ray.ledger.tasks import load_deployed
from flyte_ray.ledger.triggers import (
    Fired,
    TriggerRecord,
    delete_trigger,
    list_triggers,
    load_fired,
    load_trigger,
)
from flyte_ray.runtime.deployed import interface_of
from flyte_ray.spec.trigger import Trigger as Declared


class TriggerDetails:
    """A trigger as it is on record. Mirrors Flyte's `TriggerDetails`."""

    def __init__(self, record: TriggerRecord) -> None:
        """Describe what is on record."""
        self.record = record

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {'active' if self.is_active else 'not active'})"

    @property
    def name(self) -> str:
        """Unique in its task."""
        return self.record.name

    @property
    def task_name(self) -> str:
        """`<environment>.<function>`."""
        return self.record.task

    @property
    def id(self) -> str:
        """`<task>/<name>`."""
        return self.record.id

    @property
    def is_active(self) -> bool:
        """Whether it fires by itself."""
        return self.record.active

    @property
    def automation_spec(self) -> dict[str, Any] | None:
        """When it fires; None if it is run on demand."""
        return dict(self.record.automation) if self.record.automation else None

    @property
    def url(self) -> str:
        """Where it lies."""
        return f"{current_store().uri}/{trigger_prefix(self.task_name, self.name)}"

    @property
    def status(self) -> Fired:
        """What was done of it, as it is on record now."""
        return load_fired(current_store(), self.task_name, self.name)

    @property
    def metadata(self) -> dict[str, Any]:
        """Who wrote it, when, and what it says besides."""
        return {name: getattr(self.record, name) for name in ("revision", "version", "at_us", "by", "description")}

    def to_dict(self) -> dict[str, Any]:
        """Return what is on record, as plain JSON."""
        return dataclasses.asdict(self.record)

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(self.to_dict(), indent=2)

    @both_forms_of_class
    def get(cls, *, name: str, task_name: str) -> TriggerDetails:  # noqa: N805 - it takes the class
        """Find a trigger.

        Raises:
            ObjectMissing: The task has none of this name.

        """
        return TriggerDetails(load_trigger(current_store(), task_name, name))


class Trigger(TriggerDetails):
    """A trigger of the root. Mirrors `flyte.remote.Trigger`."""

    @both_forms_of_class
    def create(cls, trigger: Declared, task_name: str, task_version: str | None = None) -> Trigger:  # noqa: N805
        """Put a trigger of a deployed task on record; one of this name is replaced.

        Args:
            trigger: A `flyte.Trigger`.
            task_name: The task, `<environment>.<function>`.
            task_version: That its runs use; None for the latest when it fires.

        Raises:
            RemoteTaskNotFoundError: There is no such task, or not in this version.
            InvalidDeclaration: Its inputs do not fit the task.

        """
        store = current_store()
        interface = interface_of(load_deployed(store, task_name, task_version))
        record, _ = put_trigger(
            store, describe_trigger(store, trigger, task_name, interface, task_version, deployed=False)
        )
        if record.active and record.automation:
            have_fired(store)
        return Trigger(record)

    @both_forms_of_class
    def listall(cls, task_name: str | None = None, task_version: str | None = None, limit: int = 100) -> list[Trigger]:  # noqa: N805
        """Return the triggers of the root, or of a task, by task and name."""
        found = list_triggers(current_store(), task_name)
        return [Trigger(record) for record in found if task_version in (None, record.version)][:limit]

    @both_forms_of_class
    def update(cls, name: str, task_name: str, active: bool) -> None:  # noqa: N805
        """Have a trigger fire from now on, or no more; a ledger hears of it within seconds.

        Raises:
            ObjectMissing: The task has none of this name.

        """
        store = current_store()
        record = switch(store, load_trigger(store, task_name, name), active=active)
        if record.active and record.automation:
            have_fired(store)

    @both_forms_of_class
    def delete(cls, name: str, task_name: str, project: str | None = None, domain: str | None = None) -> None:  # noqa: N805
        """Take a trigger off the record; its runs stay.

        Raises:
            ObjectMissing: The task has none of this name.

        """
        store = current_store()
        load_trigger(store, task_name, name)
        delete_trigger(store, task_name, name)

    @both_forms_of_method
    def get_details(self) -> TriggerDetails:
        """Read it anew."""
        return TriggerDetails(load_trigger(current_store(), self.task_name, self.name))
