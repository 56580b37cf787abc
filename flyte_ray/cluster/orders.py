"""What the ledger has the launcher do, and what it hears of it."""

from __future__ import annotations

from typing import NamedTuple

from flyte_ray.ledger.losses import Loss
from flyte_ray.ledger.messages import Pool


class SlotOrder(NamedTuple):
    """What starts a slot."""

    slot: str
    run: str
    shape: str
    options: str
    """JSON of the Ray options."""
    pool: Pool | None = None
    """The pool that it belongs to, if any."""
    own: bool = False
    """It gets a process of its own all the same."""

    @property
    def is_pooled(self) -> bool:
        """Whether a process of its pool serves it."""
        return self.pool is not None and not self.own


class SlotDeath(NamedTuple):
    """A slot that has ended."""

    run: str
    slot: str
    shape: str
    loss: Loss
    """Its reason is empty if the slot ended by itself, as it was told to."""
    hopeless: bool
    """Another slot of this shape would fail in the same way."""
