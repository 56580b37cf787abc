"""Describe deployed tasks and triggers as plain data: what `flyte-ray get`, the HTTP API and the pages on it show.

Invariants: pure; every value is JSON, times are microseconds since the epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Final

from flyte_ray.ledger.interfaces import interface_text, version_changes
from flyte_ray.ledger.tasks import TaskRecord
from flyte_ray.ledger.triggers import Fired, TriggerRecord, name_runs
from flyte_ray.spec.schedule import at, fires, us_of

FOREVER: Final = datetime.max.replace(tzinfo=timezone.utc)


def describe_task(record: TaskRecord) -> dict[str, Any]:
    """Describe a deployment of a task.

    Returns:
        `task`, `version`, `revision`, `interface` (one line), `at_us`, `by`, `environment`, `image`, `code` (the start
        of its digest), `docs`, `entrypoint`, `cache` (whether its outcomes are kept).

    """
    return {
        "task": record.name,
        "version": record.version,
        "revision": record.revision,
        "interface": interface_text(record.interface),
        "at_us": record.at_us,
        "by": record.by,
        "environment": record.environment["name"],
        "image": record.environment["image"],
        "code": (record.code or "").partition(":")[0][:12],
        "docs": record.about.get("docs") or "",
        "entrypoint": bool(record.about["entrypoint"]),
        "cache": record.cache is not None,
    }


def describe_versions(versions: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    """Describe a task's deployments, the newest first, each with what it `changed` in the interface."""
    pairs = zip(versions, version_changes(versions), strict=True)
    return [{**describe_task(record), "changed": changed} for record, changed in pairs]


def describe_trigger(record: TriggerRecord, fired: Fired, now_us: int, count: int = 1) -> dict[str, Any]:
    """Describe a trigger.

    Returns:
        `task`, `name`, `fires` (its schedule in words), `active`, `next_us` (the next `count` fires), `last_us` (the
        fire that started `last_run`; 0 before that), `waiting` and `skipped` fires, `version` that its runs use (None:
        the latest), `catchup`, `overlap`, `inputs` (their stored JSON), `runs` (how the names of all its runs begin),
        `description`, `deployed`, `at_us`, `by`, and `error`: why the last fire started nothing.

    """
    return {
        "task": record.task,
        "name": record.name,
        "fires": str(record.schedule or "on demand"),
        "active": record.active,
        "next_us": next_fires(record, now_us, count),
        "last_us": fired.last_us,
        "last_run": fired.last_run,
        "waiting": len(fired.queue),
        "skipped": fired.skipped,
        "version": record.version,
        "catchup": record.catchup,
        "overlap": record.overlap,
        "inputs": dict(record.inputs),
        "runs": name_runs(record),
        "description": record.description,
        "deployed": record.deployed,
        "at_us": record.at_us,
        "by": record.by,
        "error": fired.error,
    }


def next_fires(record: TriggerRecord, now_us: int, count: int = 1) -> list[int]:
    """Return when a trigger fires next, at most so many times; nothing if it does not fire by itself."""
    schedule = record.schedule
    if schedule is None or not record.active:
        return []
    after = at(max(now_us, record.activated_us))
    found = fires(schedule, after, FOREVER, at(record.activated_us))
    return [us_of(fire) for fire in itertools.islice(found, count)]
