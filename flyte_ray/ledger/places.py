"""Count the places in slots that run several actions at a time, of one run or of several that share a process.

Pure. Of runs that share a process each has an equal part of its places, while it has work for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flyte_ray.ledger.conversation import Slot

PROCESS: Final = "process"
"""Names the process in what a slot says about itself, where that serves several runs."""


def free_places(slot: Slot, beside: Iterable[tuple[Slot, bool]] = ()) -> int:
    """Return how many more actions may begin in a slot now; may be negative.

    Args:
        slot: It runs several actions at a time.
        beside: Other slots in its process, and whether work waits for them.

    """
    others = [(other.busy, wants) for other, wants in beside]
    sharing = 1 + sum(busy > 0 or wants for busy, wants in others)
    most = slot.concurrency - sum(busy for busy, _ in others)
    if any(wants for _, wants in others):
        most = min(most, max(1, slot.concurrency // sharing))
    return most - slot.busy
