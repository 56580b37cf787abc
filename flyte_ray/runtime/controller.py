"""Stand between the user's code and its slot: values in, values out.

The order of the steps is the correctness argument: a call is checked and encoded, named, and only then asked for; an
attempt's output is encoded and its large parts are stored before its result is told.
Knows nothing of Ray, threads or where the store lies.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flyte_ray.errors import TraceDoesNotAllowNestedTasksError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.messages import DISPLACED, REPLACED, Call, Result, Step, TaskRef, Work
from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.runtime.caching import Caching
from flyte_ray.runtime.catalog import Catalog, Known
from flyte_ray.runtime.context import ActionContext, current_action, current_custom, current_group, current_step
from flyte_ray.runtime.execution import Execution
from flyte_ray.runtime.failures import Aborted, describe, failed, is_retryable, rebuild
from flyte_ray.runtime.naming import child_id
from flyte_ray.runtime.offspring import Attempt, offspring
from flyte_ray.runtime.redaction import refuse
from flyte_ray.runtime.report import keep_report, keep_report_of_failure
from flyte_ray.runtime.stack import Uninterrupted, require_room
from flyte_ray.runtime.waits import Pending, Siblings
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage.working import work_in

if TYPE_CHECKING:
    from flyte_ray.runtime.slot import Slot

P = ParamSpec("P")
T = TypeVar("T")
MANY_CALLS = 500
"""Async calls of one turn of the loop that are asked for before the turn is over."""


class Controller:
    """Runs the actions of one run in one slot, and answers their calls."""

    slot: Slot
    """Set by who makes the slot."""

    def __init__(self, run: RunId, catalog: Catalog, blobs: RunBlobs, mode: str, spec: Mapping[str, Any]) -> None:
        """Serve a run's actions; `spec` is how the run was started."""
        self._run, self._catalog, self.blobs, self._mode = run, catalog, blobs, mode
        self.spec = spec
        self._caching = Caching(spec)
        # In the user's own process a thread may be none of an action's.
        offspring.watch(self._active if mode == "remote" else None)

    # Called by the slot

    def begin(self, work: Work, ref: TaskRef) -> Execution:
        """Find the task of an attempt."""
        return Execution(work, self._catalog.find(work.task, ref), recorded=dict(work.steps))

    def failed(self, work: Work, error: BaseException) -> Result:
        """End an attempt for an error that is not the user's."""
        return failed(work, error, self.blobs.pickling)

    def run(self, execution: Execution) -> Result:
        """Run a sync attempt on the calling thread; if it was stopped, what it has started has ended, too."""
        result = self._run_sync(execution)
        if self._leaves_processes(execution):
            offspring.end_of(self._attempt(execution))
        return result

    def _run_sync(self, execution: Execution) -> Result:
        try:
            self._enter(execution)
            values = self._inputs(execution)
            execution.check()
            output = execution.known.task.func(**values)
            execution.in_user_code = False
            keep_report()
            return self._success(execution, output)
        except BaseException as error:
            execution.in_user_code = False
            if isinstance(error, KeyboardInterrupt) and self._mode == "local":
                raise  # Ctrl-C is meant for the run, which ends in this process
            keep_report_of_failure()
            return self._failure(execution, error)

    async def run_async(self, execution: Execution) -> Result:
        """Run an async attempt on the running loop; if it was stopped, what it has started has ended, too."""
        result = await self._run_async(execution)
        if self._leaves_processes(execution):
            await asyncio.to_thread(offspring.end_of, self._attempt(execution))
        return result

    async def _run_async(self, execution: Execution) -> Result:
        try:
            self._enter(execution)
            codec = execution.known.codec
            values = await _beside(codec.has_heavy_inputs, self._inputs, execution)
            output = await execution.known.task.func(**values)
            await _beside(_has_report(), keep_report)
            return await _beside(codec.has_heavy_output, self._success, execution, output)
        except BaseException as error:
            await _beside(_has_report(), keep_report_of_failure)
            return self._failure(execution, error)

    def _leaves_processes(self, execution: Execution) -> bool:
        return execution.cancelled is not None and offspring.has(self._attempt(execution))

    def _attempt(self, execution: Execution) -> Attempt:
        return self._run, execution.id, execution.work.attempt

    def _active(self) -> Attempt | None:
        active = self.slot.active()
        return (self._run, active[0].action, active[0].attempt) if active else None

    def _enter(self, execution: Execution) -> None:
        work = execution.work
        custom = json.loads(work.context) if work.context else {}
        current_step.set(None)  # a local run may be started inside a step of another
        current_action.set(ActionContext(self._run, work.action, work.attempt, self, execution, self._mode, custom))
        work_in(self.blobs, work.action)

    def _inputs(self, execution: Execution) -> dict[str, Any]:
        return execution.known.codec.decode_inputs(execution.work.inputs, self.blobs)

    def _success(self, execution: Execution, output: Any) -> Result:
        body = execution.known.codec.encode_output(output, self.blobs)
        refuse(body, f"what task {execution.known.task.name} returns")
        return self._result(execution, kinds.SUCCEEDED, body, retry=False)

    def _failure(self, execution: Execution, error: BaseException) -> Result:
        if execution.displaced and execution.cancelled is None:
            return self._result(execution, DISPLACED, "null", retry=True)
        if execution.cancelled == REPLACED:
            # Not ABORTED: if two ledgers died before they stored its begin, yet another attempt has its number now.
            return self._result(execution, DISPLACED, json.dumps(REPLACED), retry=True)
        aborted = execution.cancelled is not None or isinstance(
            error, (Aborted, asyncio.CancelledError, KeyboardInterrupt)
        )
        kind = kinds.ABORTED if aborted else kinds.FAILED
        retry = is_retryable(error, execution.known.task.retries)
        return self._result(execution, kind, describe(error, self.blobs.pickling), retry=retry)

    def _result(self, execution: Execution, kind: str, body: str, *, retry: bool) -> Result:
        work = execution.work
        return Result(work.action, work.attempt, kind, body, retry, execution.seconds(), execution.last_words())

    # Called by the user's code

    def call(self, task: TaskSpec, values: Mapping[str, Any]) -> Any:
        """Run a task as a child of the current action and return its output; blocks."""
        known, pending = self.submit(task, values, told=True)
        return self.result(known, pending)

    def submit(
        self, task: TaskSpec, values: Mapping[str, Any], *, siblings: Siblings | None = None, told: bool = False
    ) -> tuple[Known, Pending]:
        """Ask for a child without waiting for it.

        Args:
            task: The child's task.
            values: Its arguments by name.
            siblings: Children whose failure ends the wait for this one.
            told: The caller waits for this child alone, so that it may run in this slot at once.

        """
        action = _current()
        parent = action.execution
        with Uninterrupted(self.slot.stack, parent):
            known, call = self._name(action, task, values)
            stack = self.slot.stack
            if told and self._may_tell(parent, known, call) and stack.is_top(parent) and not stack.is_deep:
                call = call._replace(told=True)
            pending = Pending(call.action)
            pending.siblings = siblings
            self.slot.ask(parent, [(known.ref, call, pending)], pauses=False)
        return known, pending

    def result(self, known: Known, pending: Pending) -> Any:
        """Wait for a child that was submitted and return its output, or raise the failure of a sibling."""
        parent = _current().execution
        siblings = pending.siblings
        with Uninterrupted(self.slot.stack, parent):
            self.slot.wait(parent, siblings.next_end(pending) if siblings else pending)
            return self._outcome(known, siblings.failed or pending if siblings else pending)

    def drop(self, pending: Pending) -> None:
        """Abort a child that was submitted and is not wanted any more."""
        self.slot.drop(_current().execution, pending, "its parent does not want it any more")

    async def call_async(self, task: TaskSpec, values: Mapping[str, Any]) -> Any:
        """Run a task as a child of the current action and return its output, without blocking the loop."""
        action = _current()
        parent = action.execution
        loop = asyncio.get_running_loop()
        if self._catalog.know(task).codec.has_heavy_inputs:
            known, call = await asyncio.to_thread(self._name, action, task, values)
        else:
            known, call = self._name(action, task, values)
        pending = Pending(call.action)
        pending.future = loop.create_future()
        if not parent.is_async or not self.slot.is_loop(loop):
            self.slot.ask(parent, [(known.ref, call, pending)], pauses=False)
        else:
            # Whether the parent waits for this child alone is known when its turn of the loop is over.
            parent.fresh.append((known, call, pending))
            if len(parent.fresh) == 1:
                loop.call_soon(self._ask_fresh, parent, True)
            elif len(parent.fresh) == MANY_CALLS:
                # The ledger works on these while the parent makes more.
                self._ask_fresh(parent, False)
        try:
            await pending.future
        except asyncio.CancelledError:
            self.slot.drop(parent, pending, "its parent cancelled it")
            raise
        if known.codec.has_heavy_output:
            return await asyncio.to_thread(self._outcome, known, pending)
        return self._outcome(known, pending)

    def request(self, ref: TaskRef, call: Call, pending: Pending) -> None:
        """Ask for what no slot runs, and do not wait for it yet."""
        refuse(call.inputs, "a condition")
        parent = _current().execution
        with Uninterrupted(self.slot.stack, parent):
            self.slot.ask(parent, [(ref, call, pending)], pauses=False, awaited=False)

    def follow(self, asked: Pending, follower: Pending) -> None:
        """Wait for what was requested; the main thread runs nothing above the action that waits."""
        parent = _current().execution
        with Uninterrupted(self.slot.stack, parent):
            self.slot.follow(parent, asked, follower)
            parent.for_signal = True
            try:
                self.slot.wait(parent, follower)
            finally:
                parent.for_signal = False

    async def follow_async(self, asked: Pending, follower: Pending) -> None:
        """Wait for what was requested without blocking the loop; a wait that is cancelled leaves it alone."""
        parent = _current().execution
        loop = asyncio.get_running_loop()
        follower.future = loop.create_future()
        self.slot.follow(parent, asked, follower)
        if follower.kind:
            return
        if parent.is_async and self.slot.is_loop(loop):
            loop.call_soon(self._ask_fresh, parent, True)
        try:
            await follower.future
        except asyncio.CancelledError:
            self.slot.drop(parent, follower, None)
            raise

    def record(self, step: Step) -> None:
        """Have a step of the current action recorded; returns at once."""
        with Uninterrupted(self.slot.stack, _current().execution):
            self.slot.post(step)

    def _ask_fresh(self, parent: Execution, pauses: bool) -> None:
        fresh, parent.fresh = parent.fresh, []
        calls = [(known.ref, call, pending) for known, call, pending in fresh]
        if pauses and len(fresh) == 1 and not parent.open_calls and self._may_tell(parent, *fresh[0][:2]):
            ref, call, pending = calls[0]
            calls = [(ref, call._replace(told=True), pending)]
        self.slot.ask(parent, calls, pauses=pauses)

    def _may_tell(self, parent: Execution, known: Known, call: Call) -> bool:
        may = self.slot.may_tell and self.slot.stacks and known.ref.shape == self.slot.shape
        return may and call.cache is None and not parent.work.replay and not known.ref.is_timed

    def _name(self, action: ActionContext, task: TaskSpec, values: Mapping[str, Any]) -> tuple[Known, Call]:
        parent, step = action.execution, current_step.get()
        if step is not None:
            raise TraceDoesNotAllowNestedTasksError(
                f"Task '{task.name}' was called inside the traced function '{step.name}', where only plain and other"
                f" traced functions may be called. Call it outside, or make '{step.name}' a task."
            )
        known = self._catalog.know(task)
        group = current_group.get()
        encoded = known.codec.encode_inputs(values, self.blobs)
        refuse(encoded.text, f"what task {task.name} is called with")
        refuse(group, "the name of a group")
        key = (known.identity, encoded.digest, group)
        with parent.counting:
            sequence = parent.calls[key] = parent.calls.get(key, 0) + 1
        name = child_id(parent.id, known.identity, encoded.digest, group, sequence)
        cache = self._caching.use(task, known.identity, encoded)
        custom = {**action.custom_context, **(current_custom.get() or {})}
        context = json.dumps(custom, sort_keys=True) if custom else None
        refuse(context, "the custom context")
        return known, Call(name, parent.id, known.key, encoded.text, group, context, False, cache)

    def _outcome(self, known: Known, pending: Pending) -> Any:
        if pending.kind == kinds.SUCCEEDED:
            return known.codec.decode_output(pending.body, self.blobs)
        error = rebuild(pending.body, self.blobs.pickling)
        raise error from error.__cause__


async def _beside(takes_time: bool, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call, on a thread beside the loop if that takes time."""
    return await asyncio.to_thread(call, *args, **kwargs) if takes_time else call(*args, **kwargs)


def _has_report() -> bool:
    action = current_action.get()
    return action is not None and action.has_report


def _current() -> ActionContext:
    """Return the action that calls us, if what it asks for can be brought to its end."""
    action = current_action.get()
    if action is None:
        raise RuntimeError("this is only possible inside of a task")
    require_room()
    return action
