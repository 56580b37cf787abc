"""Describe one action of a folded run with all that is on record of it but for its values.

Invariant: only those segments are read that hold some of the action, so that it costs the same in a large run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.attempts import list_attempts, list_events
from flyte_ray.ledger.cache import CacheUse
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.folded import FoldedRun
from flyte_ray.ledger.messages import TaskRef, read_ref
from flyte_ray.ledger.overview import describe_action, describe_step, pick_action
from flyte_ray.ledger.query import past_of
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.phase import ActionPhase

MOST_NAMED: Final = 20
"""Children that are named where an action waits for more."""


class Texts(NamedTuple):
    """What an action was called with and how it ended, as recorded; None is not yet, or unknown."""

    inputs: str | None
    result: str | None


def texts_of(events: Iterable[Event]) -> Texts:
    """Find in an action's events its inputs, and the body of its last end."""
    inputs = result = None
    for event in events:
        if event.kind == kinds.CALLED:
            inputs = event.body
        elif event.kind in (kinds.SUCCEEDED, kinds.RECOVERED, kinds.FAILED, kinds.TIMED_OUT, kinds.ABORTED):
            result = event.body
        elif event.kind == kinds.RENEWED:
            result = None
    return Texts(inputs, result)


def describe_detail(run: FoldedRun, action: str, events: list[Event]) -> dict[str, Any]:
    """Describe an action.

    Args:
        run: Its run.
        action: Its id.
        events: Its events, see `FoldedRun.read_events`.

    Returns:
        What `describe_action` says, `called_us`, `attempt_list`, `waits` (what it waits for), `error` (`code`,
        `message`, `traceback`, `cause_action`, or None), `environment`, `cache`, `events` and `steps`.

    Raises:
        ActionNotFoundError: The run has no such action.

    """
    with run.lock:
        item = pick_action(run.state.actions, run.state.id, action)
        ref = read_ref(run.state.tasks[item.task]) if item.task in run.state.tasks else None
        return {
            **describe_action(item),
            "called_us": item.called_us,
            "attempt_list": list_attempts(events),
            "waits": _waits(run, item),
            "error": _error(run, item, texts_of(events).result),
            "environment": _environment(ref) if ref else None,
            "cache": _cache(item),
            "events": list_events(events),
            "steps": [describe_step(step) for step in past_of(events).steps],
        }


def _waits(run: FoldedRun, item: ActionState) -> list[dict[str, Any]]:
    """Say for what an action waits: each `kind`, `text`, `until_us` (0: nobody knows) and `actions`."""
    if item.phase is ActionPhase.PAUSED:
        return [_wait("signal", "for a person's signal")]
    if item.phase is ActionPhase.QUEUED:
        if item.ready_us > item.queued_us:
            return [_wait("backoff", "until its next attempt may begin", item.ready_us)]
        return [_wait("slot", "for a free slot")]
    if item.phase is not ActionPhase.RUNNING:
        return []
    open_children = [
        each.id for each in run.state.actions.values() if each.parent == item.id and not each.phase.is_terminal
    ]
    if not open_children:
        return []
    count = len(open_children)
    text = f"for {count:,} action{'s' * (count > 1)} that it called"
    return [{**_wait("children", text), "actions": open_children[:MOST_NAMED]}]


def _wait(kind: str, text: str, until_us: int = 0) -> dict[str, Any]:
    return {"kind": kind, "text": text, "until_us": until_us, "actions": []}


def _error(run: FoldedRun, item: ActionState, result: str | None) -> dict[str, Any] | None:
    if not item.phase.is_terminal or item.has_succeeded:
        return None
    told = json.loads(result or "{}")
    return {
        "code": told.get("code", ""),
        "kind": told.get("kind", ""),
        "message": told.get("message", ""),
        "traceback": told.get("traceback"),
        "cause_action": find_cause(run, item),
    }


def find_cause(run: FoldedRun, item: ActionState) -> str | None:
    """Return the action below a failed one whose error became its own; None if it failed by itself.

    That is told by the error: a child's that nobody caught is its parent's, word for word.
    """
    children: dict[str, list[ActionState]] = {}
    for each in run.state.actions.values():
        if each.phase.is_terminal and not each.has_succeeded and each.parent:
            children.setdefault(each.parent, []).append(each)
    found, current = None, item
    while True:
        same = [each for each in children.get(current.id, ()) if _words(each) == _words(current)]
        if not same:
            return found
        current = max(same, key=lambda each: each.ended_us)
        found = current.id


def _words(item: ActionState) -> tuple[str, str]:
    told = json.loads(item.result or "{}")
    return told.get("code", ""), told.get("message", "")


def _environment(ref: TaskRef) -> dict[str, Any]:
    """Say where a task runs; of variables the names alone, because values may be secret."""
    options = json.loads(ref.options or "{}")
    runtime = options.pop("runtime_env", {})
    image = runtime.get("image_uri") or runtime.get("uv") or runtime.get("pip")
    return {
        "env": ref.name.partition(".")[0],
        "image": image,
        "resources": {name: value for name, value in options.items() if name not in ("max_retries", "scheduling")},
        "env_vars": sorted(runtime.get("env_vars", {})),
        "retries": ref.retries,
        "limits": {name: value for name, value in ref.limits._asdict().items() if value is not None}
        if ref.limits
        else {},
        "pool": ref.pool._asdict() if ref.pool else None,
        "queue": ref.queue,
    }


def _cache(item: ActionState) -> dict[str, Any] | None:
    """Say how an action uses the cache, and who made the outcome that answered it; None if it does not."""
    if not item.cache and not item.cached_from:
        return None
    use = CacheUse.load(item.cache) if item.cache else None
    run, _, action = (item.cached_from or "").partition("/")
    return {
        "status": "hit" if item.cached_from else "kept" if item.phase.is_terminal and item.has_succeeded else "asked",
        "from_run": run or None,
        "from_action": action or None,
        "key": use.key if use else None,
        "version": use.version if use else None,
    }
