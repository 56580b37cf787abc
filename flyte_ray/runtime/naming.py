"""Name an action by what it is, so that a replayed parent finds its children again in any scheduling order."""

from __future__ import annotations

import hashlib

from flyte_ray.spec.ids import ActionId
from flyte_ray.spec.interface import Interface


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
    return ActionId(hashlib.sha256(text.encode()).hexdigest()[:24])
