"""Give an attempt its memory: the request at first, twice as much each time that was too little.

Pure. What a slot may use is part of its shape's key, so that slot and ledger read the same number.
"""

from __future__ import annotations

import json
from typing import Final

from flyte_ray.ledger.losses import Loss
from flyte_ray.ledger.messages import Limits, TaskRef
from flyte_ray.ledger.state import ActionState

_GROWN: Final = "+memory="
_MIB: Final = 1024**2


def allowance(limits: Limits, growths: int) -> int:
    """Bytes that an attempt may use after its action's memory has grown so often."""
    most = limits.memory_limit or 0
    return min((limits.memory_request or most) * 2**growths, most) if limits.grow else most


def may_grow(ref: TaskRef, growths: int) -> bool:
    """Whether an action may get more memory than it had."""
    return (
        ref.limits is not None and ref.limits.grow and allowance(ref.limits, growths) < (ref.limits.memory_limit or 0)
    )


def grown(ref: TaskRef, growths: int) -> TaskRef:
    """Return a task's reference with the memory that its attempt needs after so many growths."""
    if not growths or ref.limits is None:
        return ref
    shape = f"{ref.shape}{_GROWN}{allowance(ref.limits, growths)}"
    return ref._replace(shape=shape, options=grown_options(ref.options, shape))


def plain_shape(shape: str) -> str:
    """Return the key of the shape before its memory grew."""
    return shape.partition(_GROWN)[0]


def grown_options(options: str, shape: str) -> str:
    """Return a plain shape's Ray options, as JSON, with the memory of a grown one."""
    amount = shape.partition(_GROWN)[2]
    return json.dumps({**json.loads(options), "memory": int(amount)}, sort_keys=True) if amount else options


def allowance_in(shape: str, limits: Limits) -> int:
    """Bytes that an attempt may use in a slot of a shape."""
    amount = shape.partition(_GROWN)[2]
    return int(amount) if amount else allowance(limits, 0)


def excess(task: str, action: str, used: int, allowed: int, limits: Limits) -> str:
    """Say how much an attempt used of what it may use, and what follows."""
    if limits.grow and allowed < (limits.memory_limit or 0):
        follows = f"It runs again with {min(allowed * 2, limits.memory_limit or 0) / _MIB:.0f} MiB"
    elif limits.grow:
        follows = "Raise the limit in Resources(memory=(request, limit))"
    else:
        follows = "Ask for more by Resources(memory=), or let RetryStrategy(on_oom='grow') do it"
    took = f"may use {allowed / _MIB:.0f} MiB of memory and used {used / _MIB:.0f} MiB at its peak"
    return f"{task} ({action}) {took}. {follows}."


def shortage(ref: TaskRef, action: ActionState, loss: Loss) -> str:
    """Say that an attempt took what its node lacked; empty if it took no more than it may, or not the most of all."""
    limits = ref.limits
    if limits is not None and limits.memory_limit:
        allowed = allowance(limits, action.growths)
        return excess(ref.name, action.id, loss.used, allowed, limits) if loss.used > allowed else ""
    if not loss.heavy:
        return ""
    return (
        f"{ref.name} ({action.id}) used {loss.used / _MIB:.0f} MiB of memory at its peak, more than any other task on"
        f" its node. {loss.reason}. Say by Resources(memory=) what it needs, so that no more runs beside it than fits,"
        f" or use a larger node."
    )
