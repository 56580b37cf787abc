"""Write what the ledger itself says of an attempt: failures that are not the user's, the last of several, a loss.

Pure: which verdict applies is decided by those who call.
"""

from __future__ import annotations

import json
from typing import Any, Final


def failure(code: str, kind: str, message: str) -> str:
    """Write an error that did not come from the user's code in its recorded form."""
    return json.dumps({"code": code, "kind": kind, "message": message, "traceback": f"{code}: {message}\n"})


def aborted(reason: str, by: str) -> str:
    """Write why an action was aborted, and by whom: a person as `user@host`, an action, or a limit of one."""
    message = f"ActionAbortedError: {reason} (by {by})\n"
    return json.dumps({"code": "ActionAbortedError", "kind": "user", "message": reason, "traceback": message, "by": by})


def abandoned(parent: str, *, out_of_time: bool) -> str:
    """Write why an action was aborted whose parent ended, or goes on with another attempt, without it."""
    if out_of_time:
        return aborted("its parent ran out of time", f"a time limit of action {parent}")
    return aborted("its parent ended", f"action {parent}")


UNSEEN_END: Final = "its parent ended, and how it ended itself, if it had, was not stored"
"""Why an action is aborted of whose end nobody is left who could tell: its slot and the ledger are gone."""


def aborted_by(body: str | None) -> str:
    """Read who aborted an action from its recorded end; empty if it ended otherwise, or nobody is on record."""
    recorded = json.loads(body) if body and '"by"' in body else None
    return str(recorded.get("by", "")) if isinstance(recorded, dict) else ""


def retried(body: str, ready_us: int) -> str:
    """Add to an attempt's error when the next attempt may begin, in microseconds since the epoch."""
    return json.dumps({**json.loads(body), "ready_us": ready_us})


def ready_at(body: str | None) -> int:
    """Read what `retried` or `lost` added; 0 if the next attempt may begin at once."""
    return int(json.loads(body).get("ready_us", 0)) if body and '"ready_us"' in body else 0


def growing(body: str) -> str:
    """Mark the error of an attempt that is followed by one with more memory."""
    return json.dumps({**json.loads(body), "grows": True})


def grows(body: str | None) -> bool:
    """Read what `growing` marked."""
    return bool(body) and '"grows"' in str(body) and json.loads(str(body)).get("grows") is True


def exhausted(body: str, attempts: int) -> str:
    """Write the error of an action whose retries are used up; the last attempt's own error is kept in it as `cause`.

    Errors of the system and of limits keep their form: who runs out of retries while the store is down learns of the
    store, and who ran out of memory can ask for more.

    Args:
        body: Error of the last attempt.
        attempts: How many have failed.

    """
    cause: dict[str, Any] = json.loads(body)
    if cause.get("kind") != "user" or cause.get("code") == "OOMError":
        return body
    message = f"all {attempts} attempts failed, the last one with {cause['code']}: {cause['message']}"
    outer = {name: value for name, value in cause.items() if name != "original"}
    return json.dumps({**outer, "code": "RetriesExhaustedError", "message": message, "cause": cause})


def lost(reason: str, cause: str, *, to_blame: bool, ready_us: int) -> str:
    """Write how an attempt's slot was lost, and when the next attempt may begin (0: at once)."""
    body: dict[str, Any] = {"reason": reason, "cause": cause, "to_blame": to_blame}
    return json.dumps({**body, "ready_us": ready_us} if ready_us else body)


def is_to_blame(body: str | None) -> bool:
    """Whether an attempt is the suspect of a loss."""
    return not (body and body.startswith("{") and json.loads(body).get("to_blame") is False)
