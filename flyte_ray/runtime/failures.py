"""Turn exceptions into data and back: Ray never pickles a user's exception."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import traceback
from typing import Any, Final

from flyte_ray.errors import BaseRuntimeError, NonRecoverableError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.messages import Result, Work
from flyte_ray.runtime.recorded_errors import to_error
from flyte_ray.spec.origin import is_own
from flyte_ray.spec.policies import RetryStrategy

MAX_ORIGINAL: Final = 16 * 1024
"""Bytes of a pickled exception that are kept at most."""


class Aborted(BaseException):
    """Raised inside the user's code of an action that was aborted; no `except Exception` catches it."""


class Displaced(BaseException):
    """Raised inside the user's code of an action that waits for a signal in the way of others: it begins again."""


def describe(error: BaseException) -> str:
    """Write an exception as JSON: code, kind, message and the user's traceback, innermost frame last."""
    by: dict[str, str] = {}
    if isinstance(error, BaseRuntimeError):
        code, kind = error.code, error.kind
    elif isinstance(error, (Aborted, asyncio.CancelledError, KeyboardInterrupt)):
        # What the ledger has aborted is on record already; this is code that gave itself up.
        code, kind, by = "ActionAbortedError", "user", {"by": "its own code"}
    else:
        code, kind = type(error).__name__, "user"
    message = str(error) or (f"its code raised {type(error).__name__}" if by else "")
    body = {"code": code, "kind": kind, "message": message, "traceback": _users_traceback(error), **by}
    original = None if isinstance(error, BaseRuntimeError) or not isinstance(error, Exception) else _pickle(error)
    return json.dumps({**body, "original": original} if original else body)


def _pickle(error: Exception) -> str | None:
    """Pickle an exception for who catches it elsewhere; None where it would not come back as what it is."""
    import cloudpickle  # only where something failed

    try:
        data = cloudpickle.dumps(error)
        # A class whose constructor takes other arguments pickles, and fails when it is read.
        whole = len(data) <= MAX_ORIGINAL and type(cloudpickle.loads(data)) is type(error)
    except Exception:  # what a class does on being pickled may fail in any way
        return None
    return base64.b64encode(data).decode() if whole else None


def _users_traceback(error: BaseException) -> str:
    """Write an exception with its causes, and those in a group, without the frames of this package."""
    told = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    waiting = [told]
    while waiting:
        each = waiting.pop()
        if each.stack and is_own(each.stack[-1].filename):
            # The failure of a child, whose causes are on record with it; or our own error, which says all itself.
            each.__cause__ = each.__context__ = None
        each.stack[:] = [frame for frame in each.stack if not is_own(frame.filename)]
        inner = (each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ()))
        waiting += [one for one in inner if one is not None]
    return "".join(told.format()).removeprefix("Traceback (most recent call last):\n")


def failed(work: Work, error: BaseException) -> Result:
    """End an attempt for an error that is not the user's: whatever happens to it, an attempt comes back."""
    return Result(work.action, work.attempt, kinds.FAILED, describe(error), True, 0.0, None)


def is_retryable(error: BaseException, strategy: RetryStrategy) -> bool:
    """Whether another attempt may succeed, as far as the exception tells and the user wants it."""
    return not isinstance(error, NonRecoverableError) and strategy.covers(type(error))


def rebuild(body: str | None) -> BaseRuntimeError:
    """Turn a recorded failure back into an error of its class.

    Its `__cause__` is the user's exception, where that could be kept; of used-up retries, the error of the last one.
    """
    return _rebuild(json.loads(body or "{}"))


def _rebuild(recorded: dict[str, Any]) -> BaseRuntimeError:
    error = to_error(recorded.get("code", "Unknown"), recorded.get("kind", "unknown"), recorded.get("message", ""))
    cause = recorded.get("cause")
    error.__cause__ = _rebuild(cause) if cause else _unpickle(recorded.get("original"))
    return error


def _unpickle(original: str | None) -> BaseException | None:
    if original is None:
        return None
    try:
        found = pickle.loads(base64.b64decode(original))
    except Exception:  # its class may be missing here, and what it does on being read may fail in any way
        return None
    return found if isinstance(found, BaseException) else None
