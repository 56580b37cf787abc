"""Name the points at which a crash is worth a test; what happens there is passed in, and is nothing by default.

A point is named `before <step>` or `after <step>`. The steps of a store are its writes, by what they write (see
`flyte_ray.testing`); the ledger's own are those below.
"""

from __future__ import annotations

from typing import Final, Protocol

from flyte_ray.storage import Store

LAUNCH: Final = "launch"
"""A slot is asked for."""
ACKNOWLEDGE: Final = "acknowledge"
"""A slot's message is answered."""


class Faults(Protocol):
    """What happens at the points."""

    def at(self, point: str) -> None:
        """Called on whatever thread comes to a point; at a `launch` that holds the ledger's lock."""

    def around(self, store: Store) -> Store:
        """Return a store whose writes are points, too."""


class NoFaults:
    """Lets every point pass."""

    def at(self, point: str) -> None:
        """Do nothing."""

    def around(self, store: Store) -> Store:
        """Return the store itself."""
        return store


NO_FAULTS: Final = NoFaults()
