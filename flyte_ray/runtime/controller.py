"""Run actions and record them: every call of a task inside a run passes here.

The order of the steps is the correctness argument: name the call, answer it from the record if it ended there, record
the intent, run the body, store large values, record the outcome, and only then let the parent go on.
Knows nothing of Ray, the command line or where the store lies.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flyte_ray.errors import BaseRuntimeError, NonRecoverableError, to_error
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.recorder import RunRecorder, now_us
from flyte_ray.ledger.state import ActionState
from flyte_ray.runtime.context import ActionContext, current_action, current_custom, current_group
from flyte_ray.runtime.naming import child_id, task_identity
from flyte_ray.spec.ids import ROOT_ACTION
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.spec.policies import Timeout
from flyte_ray.spec.task import TaskSpec
from flyte_ray.types import Blobs, TaskCodec, build_codec

_log = logging.getLogger("flyte_ray.runtime")


@dataclass(frozen=True)
class Pending:
    """A declared action that is to be run."""

    task: TaskSpec
    action: ActionState
    values: Mapping[str, Any]


class Controller:
    """Runs one run's actions in this process."""

    def __init__(self, recorder: RunRecorder, blobs: Blobs, slot: str) -> None:
        """Serve a run that `recorder` has open."""
        self._recorder = recorder
        self._blobs = blobs
        self._slot = slot
        self._codecs: dict[tuple[str, int], TaskCodec] = {}
        self._originals: dict[str, BaseException] = {}
        self._counting = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop of async actions that sync actions call; set by who owns the threads."""

    def codec(self, task: TaskSpec) -> TaskCodec:
        """Return the task's codec, built once."""
        # Keyed by the function's identity too: a notebook cell may define a task of the same name again.
        key = (task.name, id(task.func))
        found = self._codecs.get(key)
        if found is None:
            found = build_codec(task.interface, task.name)
            ignored = _ignored(task)
            if ignored:
                _log.warning("task %s runs without its %s: local mode does not act on it", task.name, ignored)
            self._codecs[key] = found
        return found

    def call(self, task: TaskSpec, values: Mapping[str, Any]) -> Any:
        """Run a task as a child of the current action (or as the root) and return its output; blocks."""
        pending = self._declare(task, values)
        if task.interface.is_async:
            return self._on_loop(pending)
        while pending.action.phase is ActionPhase.QUEUED:
            context = self._start(pending)
            try:
                output = contextvars.copy_context().run(_enter, context, task.func, dict(pending.values))
                self._succeed(pending, output)
            except BaseException as error:
                delay = self._fail(pending, error)
                time.sleep(delay)
        return self._outcome(pending)

    def abort_open(self, reason: str) -> None:
        """Record every action that has not ended as aborted."""
        body = json.dumps(describe(to_error("ActionAbortedError", "user", reason)))
        self._recorder.end_open(kinds.ABORTED, body)

    async def call_async(self, task: TaskSpec, values: Mapping[str, Any]) -> Any:
        """Run a task as a child of the current action and return its output, without blocking the loop."""
        if not task.interface.is_async:
            return await asyncio.to_thread(self.call, task, values)
        return await self._await(self._declare(task, values))

    async def _await(self, pending: Pending) -> Any:
        while pending.action.phase is ActionPhase.QUEUED:
            token = current_action.set(self._start(pending))
            try:
                self._succeed(pending, await pending.task.func(**pending.values))
            except BaseException as error:
                delay = self._fail(pending, error)
                await asyncio.sleep(delay)
            finally:
                current_action.reset(token)
        return self._outcome(pending)

    def _on_loop(self, pending: Pending) -> Any:
        if self.loop is None:
            raise RuntimeError("the controller has no event loop: it was not started")
        # call_soon_threadsafe copies this thread's context, so that the child sees its parent.
        return asyncio.run_coroutine_threadsafe(self._await(pending), self.loop).result()

    def _declare(self, task: TaskSpec, values: Mapping[str, Any]) -> Pending:
        parent, group = current_action.get(), current_group.get()
        encoded = self.codec(task).encode_inputs(values, self._blobs)
        if parent is None:
            name: str = ROOT_ACTION
        else:
            identity = task_identity(task.name, task.interface)
            key = (identity, encoded.digest, group)
            with self._counting:  # threads of one parent may make identical calls at once
                parent.calls[key] += 1
                name = child_id(parent.action_name, identity, encoded.digest, group, parent.calls[key])
        known = self._recorder.state.actions.get(name)
        if known is None:
            parent_name = parent.action_name if parent else None
            self._recorder.record(
                Event(kinds.CALLED, now_us(), name, parent=parent_name, task=task.name, group=group, body=encoded.text)
            )
        elif known.phase is ActionPhase.RUNNING:
            # Recorded as running by a process that is gone: this process holds the run alone.
            self._recorder.record(Event(kinds.LOST, now_us(), name, known.attempt, body='"its process ended"'))
        elif parent is not None and parent.attempt_number > 0 and known.phase in _UNSUCCESSFUL:
            self._recorder.record(Event(kinds.RENEWED, now_us(), name))
        return Pending(task, self._recorder.state.actions[name], values)

    def _start(self, pending: Pending) -> ActionContext:
        action = pending.action
        attempt = action.failures + action.losses
        self._recorder.record(Event(kinds.STARTED, now_us(), action.id, attempt, slot=self._slot))
        parent = current_action.get()
        custom = {**(parent.custom_context if parent else {}), **(current_custom.get() or {})}
        return ActionContext(self._recorder.state.id, action.id, attempt, self, custom)

    def _succeed(self, pending: Pending, output: Any) -> None:
        body = self.codec(pending.task).encode_output(output, self._blobs)
        action = pending.action
        self._recorder.record(Event(kinds.SUCCEEDED, now_us(), action.id, action.attempt, body=body))

    def _fail(self, pending: Pending, error: BaseException) -> float:
        """Record a failed attempt; return the seconds to wait before the next, 0 if there is none."""
        action, retries = pending.action, pending.task.retries
        if action.phase is not ActionPhase.RUNNING:
            raise error
        if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
            body = json.dumps(describe(to_error("ActionAbortedError", "user", "cancelled")))
            self._recorder.record(Event(kinds.ABORTED, now_us(), action.id, action.attempt, body=body))
            raise error
        again = action.failures < retries.count and not isinstance(error, NonRecoverableError)
        kind = kinds.RETRIED if again else kinds.FAILED
        self._recorder.record(Event(kind, now_us(), action.id, action.attempt, body=json.dumps(describe(error))))
        if again:
            return retries.delay_s(action.failures - 1)
        self._originals[action.id] = error
        return 0.0

    def _outcome(self, pending: Pending) -> Any:
        action = pending.action
        if action.phase in (ActionPhase.SUCCEEDED, ActionPhase.RECOVERED):
            return self.codec(pending.task).decode_output(action.result or "null", self._blobs)
        raise rebuild(action.result) from self._originals.pop(action.id, None)


def _ignored(task: TaskSpec) -> str:
    """Name what the task declares and local mode does not do."""
    environment = task.environment
    declared = {
        "timeout": task.timeout != Timeout(),
        "cache": task.cache.behavior != "disable",
        "image": environment.image not in (None, "auto"),
        "env_vars": bool(environment.env_vars),
        "secrets": environment.secrets is not None,
        "resources": environment.resources is not None,
        "reusable": environment.reusable is not None,
    }
    return ", ".join(name for name, given in declared.items() if given)


_UNSUCCESSFUL = (ActionPhase.FAILED, ActionPhase.ABORTED, ActionPhase.TIMED_OUT)


def _enter(context: ActionContext, func: Callable[..., Any], values: dict[str, Any]) -> Any:
    current_action.set(context)
    return func(**values)


def describe(error: BaseException) -> dict[str, str]:
    """Turn an exception into data: code, kind, message and the user's traceback, innermost frame last."""
    if isinstance(error, BaseRuntimeError):
        code, kind = error.code, error.kind
    else:
        code, kind = type(error).__name__, "user"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/flyte_ray/" not in frame.filename]
    text = "".join(traceback.format_list(frames)) + "".join(traceback.format_exception_only(type(error), error))
    return {"code": code, "kind": kind, "message": str(error), "traceback": text}


def rebuild(body: str | None) -> BaseRuntimeError:
    """Turn a recorded failure back into an error of its class."""
    recorded = json.loads(body or "{}")
    return to_error(recorded.get("code", "Unknown"), recorded.get("kind", "unknown"), recorded.get("message", ""))
