"""Have the current action wait for a person's signal.

A condition is asked for like a child and named by its parent and its name alone, so that an attempt that runs again
finds the one that it made before, with its signal if there is one. It may be waited for later, often, or never.
"""

from __future__ import annotations

import hashlib
import json

from flyte_ray.errors import ConditionAlreadyExistsError, ConditionFailedError
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.conditions import condition_ref
from flyte_ray.ledger.messages import Call
from flyte_ray.runtime.context import ActionContext, current_action
from flyte_ray.runtime.failures import rebuild
from flyte_ray.runtime.naming import child_id
from flyte_ray.runtime.waits import Pending
from flyte_ray.spec.condition import ConditionSpec, ConditionValue


def ask_for(spec: ConditionSpec) -> None:
    """Have a condition begin to wait; outside of a task nothing does.

    Raises:
        ConditionAlreadyExistsError: The action has made one of this name in this attempt.

    """
    action = current_action.get()
    if action is not None and not _request(action, spec)[1]:
        raise ConditionAlreadyExistsError(
            f"Action {action.action_name} has a condition '{spec.name}' already. Give each of its conditions a name of"
            f" its own, for example '{spec.name}-2'."
        )


def wait_for(spec: ConditionSpec) -> ConditionValue:
    """Block until a condition is signalled, and return the value.

    Raises:
        RuntimeError: Not inside of a task.
        BaseRuntimeError: It ended without a value.

    """
    action = _current()
    asked, _ = _request(action, spec)
    follower = _follower(action, asked)
    action.controller.follow(asked, follower)
    return _value(spec, follower)


async def wait_for_later(spec: ConditionSpec) -> ConditionValue:
    """Wait as `wait_for` does, without blocking the running loop."""
    action = _current()
    asked, _ = _request(action, spec)
    follower = _follower(action, asked)
    await action.controller.follow_async(asked, follower)
    return _value(spec, follower)


def _current() -> ActionContext:
    action = current_action.get()
    if action is None:
        raise RuntimeError("A condition can be waited for inside of a task only. Call wait() in a task that runs.")
    return action


def _request(action: ActionContext, spec: ConditionSpec) -> tuple[Pending, bool]:
    """Return what stands for a condition, and whether it is new: asked for now."""
    execution = action.execution
    ref = condition_ref(spec.name, spec.timeout_s)
    digest = hashlib.sha256(spec.name.encode()).hexdigest()
    pending = Pending(child_id(execution.id, "condition", digest, None, 1))
    with execution.counting:
        known = execution.conditions.setdefault(spec.name, pending)
    if known is not pending:
        return known, False
    call = Call(pending.id, execution.id, ref.key, spec.dump(), None, None, told=False)
    action.controller.request(ref, call, pending)
    return pending, True


def _follower(action: ActionContext, asked: Pending) -> Pending:
    with action.execution.counting:
        action.execution.follows += 1
        return Pending(f"{asked.id}.{action.execution.follows}")


def _value(spec: ConditionSpec, ended: Pending) -> ConditionValue:
    if ended.kind != kinds.SUCCEEDED:
        raise rebuild(ended.body, _current().controller.blobs.pickling)
    value: ConditionValue = json.loads(ended.body)["value"]
    if type(value) is spec.data_type:
        return value
    # The code was edited since the condition was signalled.
    raise ConditionFailedError(
        f"Condition '{spec.name}' was signalled with {value!r:.80}, but now expects {spec.data_type.__name__}. Give it"
        f" another name to ask again."
    )
