"""Tell the life of one action from its events: its attempts, and what happened when. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event

_ENDS: Final = frozenset({kinds.SUCCEEDED, kinds.FAILED, kinds.RETRIED, kinds.ABORTED, kinds.TIMED_OUT, kinds.LOST})
_QUEUES: Final = frozenset({kinds.CALLED, kinds.RETRIED, kinds.LOST, kinds.RETURNED, kinds.RENEWED})
_SILENT: Final = frozenset({kinds.LOGGED, kinds.TRACED})
"""Events that have a place of their own."""


def list_attempts(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the attempts of an action in their order.

    Returns:
        Of each `attempt` (its number), `queued_us`, `ready_us` (a backoff held it until then), `started_us` (handed to
        its slot), `ended_us`, `outcome` (`running`, or the event's kind in lower case), `where` (its slot), `error`
        and `traceback` of what did not succeed. 0 is not yet. What was handed back before it began is no attempt.

    """
    attempts: dict[int, dict[str, Any]] = {}
    queued = ready = 0
    for event in events:
        if event.kind == kinds.STARTED:
            attempts[event.attempt] = {
                "attempt": event.attempt,
                "queued_us": queued,
                "ready_us": ready,
                "started_us": event.at,
                "ended_us": 0,
                "outcome": "running",
                "where": event.slot,
                "error": "",
                "traceback": None,
            }
        elif event.kind == kinds.RETURNED:
            attempts.pop(event.attempt, None)
        elif event.kind in _ENDS and (known := attempts.get(event.attempt)) and not known["ended_us"]:
            known.update(ended_us=event.at, outcome=event.kind.lower())
            if event.kind != kinds.SUCCEEDED:
                known.update({name: describe_failure(event)[name] for name in ("error", "traceback")})
        if event.kind in _QUEUES:
            queued, ready = event.at, _ready(event)
    return [attempts[number] for number in sorted(attempts)]


def list_events(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return what happened to an action: `kind`, `at_us`, `attempt`, `slot` and `text` of each event.

    Not what it printed, nor its steps.
    """
    return [
        {
            "kind": event.kind,
            "at_us": event.at,
            "attempt": event.attempt,
            "slot": event.slot,
            "text": _text(event),
        }
        for event in events
        if event.kind not in _SILENT
    ]


def describe_failure(event: Event) -> dict[str, Any]:
    """Describe how an attempt ended that did not succeed: `attempt`, `outcome`, `error`, `traceback` (text, or None).

    `outcome` is `retried`, `lost`, `failed`, `timed_out` or `aborted`.
    """
    body = event.body or "{}"
    told = json.loads(body) if body.startswith("{") else {"message": body}
    if isinstance(told.get("cause"), dict):  # retries are used up: this attempt's own error
        told = told["cause"]
    return {
        "attempt": event.attempt,
        "outcome": event.kind.lower(),
        "error": told.get("reason") or describe_error(json.dumps(told)),
        "traceback": told.get("traceback"),
    }


def describe_error(body: str | None) -> str:
    """Write a recorded error as Python does; of an abort the reason alone, which its phase and `aborted_by` explain."""
    error = json.loads(body or "{}")
    code, message = error.get("code", ""), error.get("message", "")
    return message if code == "ActionAbortedError" else ": ".join(filter(None, (code, message)))


def _ready(event: Event) -> int:
    if event.kind not in (kinds.RETRIED, kinds.LOST) or not (event.body or "").startswith("{"):
        return 0
    return int(json.loads(event.body or "{}").get("ready_us", 0))


def _text(event: Event) -> str:
    if event.kind in (kinds.RETRIED, kinds.LOST, kinds.FAILED, kinds.TIMED_OUT, kinds.ABORTED):
        return str(describe_failure(event)["error"])
    if event.kind == kinds.RECOVERED or (event.kind == kinds.SUCCEEDED and event.cache):
        return f"the outcome of {event.cache}"
    if event.kind == kinds.DIVERGED:
        told = json.loads(event.body or "{}")
        return f"called {told['called']['task']} in place of {told['recorded']['task']}"
    return f"group {event.group}" if event.kind == kinds.CALLED and event.group else ""
