"""Tasks that the tests of durability on Ray run; what must not happen twice is written to a file named by an input."""

from __future__ import annotations

import os
import signal

import flyte_ray as flyte
from tests.workloads import square

env = flyte.TaskEnvironment("durable")


def die_at_first(marker: str) -> None:
    """Kill this process, and so the slot, in the first attempt."""
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


@env.task
def changes_its_mind(marker: str) -> int:
    # Of two calls the ledger knows before they run; of a single one this slot would be to tell it.
    total = sum(flyte.map(square, [4, 4] if os.path.exists(marker) else [3, 3], return_exceptions=False))
    die_at_first(marker)
    return total
