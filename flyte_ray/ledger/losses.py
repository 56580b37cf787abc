"""Say who is to blame for the loss of a slot, and how often an action may be lost.

Invariants: a loss has one suspect at most, which is the action that its slot said to run; what waited beside it, and
all that was lost with a node or with the launcher, is displaced, and counts apart. Pure: `ledger/recovery.py` acts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.state import ActionState
from flyte_ray.ledger.verdicts import failure

CRASHED: Final = "crash"
"""Cause of a loss: the slot's process ended by itself, or somebody ended it."""
MEMORY: Final = "memory"
"""Ray ended the slot, because its node was short of memory."""
NODE: Final = "node"
"""The node is gone, or its Ray."""
PREEMPTED: Final = "preempted"
"""The node was taken away."""
LAUNCHER: Final = "launcher"
"""Ray ends the slots of a launcher that is gone."""
ENDED: Final = "ended"
"""The ledger ended the slot, because of one action that did not stop; or Ray did, for a reason of its own."""
STACKED: Final = "stacked"
"""The slot goes on: the attempt has left it, because it waited for a signal above others that could go on."""
SETUP: Final = "setup"
"""The slot's environment, its packages or its container, could not be prepared."""
UNSEEN: Final = "unseen"
"""No ledger was there to see it, or the slot had not attached to this one."""

MAX_LOSSES: Final = 3
"""Lost slots that an action may be the suspect of; the next one fails it."""
MAX_DISPLACED: Final = 100
"""How often an action may lose its slot without being the suspect; the next time fails it."""
WATCHED_FROM: Final = 2
"""Displacements from which on an action is watched."""
FIRST_DELAY_S: Final = 0.25
"""Seconds between the begins of two attempts after two losses; doubled by each further one, none after the first."""
MAX_DELAY_S: Final = 5.0


class Loss(NamedTuple):
    """How a slot was lost."""

    reason: str
    """For people."""
    cause: str = CRASHED
    used: int = 0
    """Memory that its process used, in bytes; 0 if that is not known."""
    heavy: bool = False
    """No other slot of its node used more memory, and it used much."""


def suspect(slot: Slot) -> str:
    """Return the action that ran the user's code when a slot was last heard of; empty if none is known to.

    What was under way to it may have begun, or have woken who waited for it: that blames nobody. If it happens again,
    the slot is asked to say what it runs before it does (`is_watched`).
    """
    if slot.concurrency > 1 and slot.busy > 1:
        return ""
    return slot.active if slot.active in slot.running else ""


def is_watched(action: ActionState) -> bool:
    """Whether a slot shall say at once when an action's code begins or goes on, because its slots were lost before."""
    return action.losses > 0 or action.displaced >= WATCHED_FROM


def delay_s(losses: int) -> float:
    """Seconds between the begins of two attempts, by the number of losses."""
    return 0.0 if losses < 2 else min(FIRST_DELAY_S * 2 ** min(losses - 2, 20), MAX_DELAY_S)


def exceeded(action: ActionState, loss: Loss) -> str | None:
    """Return the recorded form of the error that ends an action which was lost too often; None if it may go on."""
    if action.losses > MAX_LOSSES:
        return failure(
            "SlotLostError",
            "system",
            f"{action.losses} slots were lost while they ran {action.task_name} ({action.id}); the last one:"
            f" {loss.reason}. Look for what ends its process: memory of the machine, a crash in C code, an exit.",
        )
    if action.displaced <= MAX_DISPLACED:
        return None
    code, kind = ("Interrupted", "user") if loss.cause in (NODE, PREEMPTED) else ("SlotLostError", "system")
    return failure(
        code,
        kind,
        f"{action.task_name} ({action.id}) lost its slot {action.displaced} times, though not by its own doing;"
        f" the last time: {loss.reason}. Look at the nodes of the cluster and at what shares its slots.",
    )
