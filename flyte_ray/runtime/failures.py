"""Turn exceptions into data and back: Ray never pickles a user's exception."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from typing import Any, Final

from flyte_ray.errors import BaseRuntimeError, NonRecoverableError, PickleRefusedError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.messages import Result, Work
from flyte_ray.runtime.recorded_errors import to_error
from flyte_ray.runtime.redaction import redact_cut, shown_in
from flyte_ray.spec.origin import is_own
from flyte_ray.spec.policies import RetryStrategy
from flyte_ray.types.signing import Pickling

_log = logging.getLogger("flyte_ray.runtime")
MAX_ORIGINAL: Final = 16 * 1024
"""Bytes of a pickled exception that are kept at most."""


class Aborted(BaseException):
    """Raised inside the user's code of an action that was aborted; no `except Exception` catches it."""


class Displaced(BaseException):
    """Raised inside the user's code of an action that waits for a signal in the way of others: it begins again."""


def describe(error: BaseException, pickling: Pickling) -> str:
    """Write an exception as JSON: code, kind, message and the user's traceback, innermost frame last.

    The exception itself is a part of it where it can be pickled.
    """
    by: dict[str, str] = {}
    if isinstance(error, BaseRuntimeError):
        code, kind = error.code, error.kind
    elif isinstance(error, (Aborted, asyncio.CancelledError, KeyboardInterrupt)):
        # What the ledger has aborted is on record already; this is code that gave itself up.
        code, kind, by = "ActionAbortedError", "user", {"by": "its own code"}
    else:
        code, kind = type(error).__name__, "user"
    message = str(error) or (f"its code raised {type(error).__name__}" if by else "")
    told, shown = redact_cut(message), redact_cut(_users_traceback(error))
    body = {"code": redact_cut(code), "kind": kind, "message": told, "traceback": shown, **by}
    is_own_kind = isinstance(error, BaseRuntimeError) or not isinstance(error, Exception)
    original = None if is_own_kind else _pickle(error, pickling)
    return json.dumps({**body, "original": original} if original else body)


def _pickle(error: BaseException, pickling: Pickling) -> str | None:
    """Pickle an exception for who catches it elsewhere; None where it would not come back as what it is."""
    if pickling.hindrance:
        return None
    import cloudpickle  # only where something failed

    try:
        data = cloudpickle.dumps(error)
        # A class whose constructor takes other arguments pickles, and fails when it is read.
        whole = len(data) <= MAX_ORIGINAL and type(cloudpickle.loads(data)) is type(error) and not shown_in(data)
    except Exception:  # what a class does on being pickled may fail in any way
        return None
    return pickling.pack(data) if whole else None


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


def failed(work: Work, error: BaseException, pickling: Pickling) -> Result:
    """End an attempt for an error that is not the user's: whatever happens to it, an attempt comes back."""
    retry = not isinstance(error, NonRecoverableError)
    return Result(work.action, work.attempt, kinds.FAILED, describe(error, pickling), retry, 0.0, None)


def is_retryable(error: BaseException, strategy: RetryStrategy) -> bool:
    """Whether another attempt may succeed, as far as the exception tells and the user wants it."""
    return not isinstance(error, NonRecoverableError) and strategy.covers(type(error))


def rebuild(body: str | None, pickling: Pickling) -> BaseRuntimeError:
    """Turn a recorded failure back into an error of its class.

    Its `__cause__` is the user's exception, where that could be kept and is signed with the key that counts here; of
    used-up retries, the error of the last one.
    """
    return _rebuild(json.loads(body or "{}"), pickling)


def _rebuild(recorded: dict[str, Any], pickling: Pickling) -> BaseRuntimeError:
    error = to_error(recorded.get("code", "Unknown"), recorded.get("kind", "unknown"), recorded.get("message", ""))
    cause = recorded.get("cause")
    error.__cause__ = _rebuild(cause, pickling) if cause else _unpickle(recorded.get("original"), pickling)
    return error


def _unpickle(original: str | None, pickling: Pickling) -> BaseException | None:
    if original is None or pickling.is_off:
        return None
    try:
        data = pickling.unpack(original)
    except PickleRefusedError as error:  # what happened is on record as text, and must not give way to this
        _log.warning("an error is told without its original exception. %s", error)
        return None
    try:
        found = pickle.loads(data)
    except Exception:  # its class may be missing here, and what it does on being read may fail in any way
        return None
    return found if isinstance(found, BaseException) else None
