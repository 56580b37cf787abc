"""Name an action by what it is, so that a replayed parent finds its children again in any scheduling order."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

from flyte_ray.spec.body import describe_code
from flyte_ray.spec.ids import ActionId
from flyte_ray.spec.interface import Interface
from flyte_ray.types.marks import utf8


def task_identity(name: str, interface: Interface) -> str:
    """Digest a task's qualified name and interface; not its body, image, resources or code bundle."""
    types = [(item.name, getattr(item.annotation, "__name__", str(item.annotation))) for item in interface.parameters]
    returns = getattr(interface.returns, "__name__", str(interface.returns))
    return hashlib.sha256(repr((name, types, returns)).encode()).hexdigest()[:32]


def child_id(parent: str, identity: str, inputs_digest: str, group: str | None, sequence: int) -> ActionId:
    """Derive a child's id.

    Args:
        parent: Id of the calling action.
        identity: See `task_identity`.
        inputs_digest: Digest of the encoded inputs.
        group: The innermost `flyte.group`, if any.
        sequence: Counts identical calls (same identity, inputs and group) within the parent's attempt, from 1.

    """
    text = "\n".join((parent, identity, inputs_digest, group or "", str(sequence)))
    return ActionId(hashlib.sha256(utf8(text)).hexdigest()[:24])


def body_identity(func: Callable[..., Any]) -> str:
    """Digest what a function does: its compiled body, not its name, docstring, place in its file or closure.

    Compiled, because that is what runs: the source may be missing on a node, or edited since it was imported.
    """
    code = getattr(inspect.unwrap(func), "__code__", None)
    return hashlib.sha256(describe_code(code, func.__doc__).encode()).hexdigest()[:32] if code else ""


def step_key(identity: str, inputs_digest: str, group: str | None, outer: str) -> str:
    """Derive the key of a traced function's call, without its sequence number.

    Args:
        identity: The function's name and the digest of its body.
        inputs_digest: Digest of the inputs.
        group: The innermost `flyte.group`, if any.
        outer: Key of the step that it is called in, or `""`. That step may be answered from the record, and its inner
            ones must not be missing in the count of the others then.

    """
    return hashlib.sha256(utf8("\n".join((identity, inputs_digest, group or "", outer)))).hexdigest()[:24]
