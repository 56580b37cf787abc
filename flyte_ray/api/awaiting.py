"""Wait for the end of a run: by its ledger where that can be reached, else by looking at what is stored.

Invariant: what a ledger has said of the end is not read again, because the record of a long run takes a second.
"""

from __future__ import annotations

import time
from typing import Final

from flyte_ray.api.cutoff import Lookout
from flyte_ray.api.steering import client_of
from flyte_ray.errors import RunNotFoundError
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.state import RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.storage.patient import Patience

POLL_S: Final = 0.5
"""How often a run that another process holds is looked at."""


def await_end(store: Store, run: RunId) -> RunState | None:
    """Return when a run has ended and that is stored.

    Returns:
        Its record, None where nothing had to be read of it: no replay of its actions has called something else.

    Raises:
        RunFencedError: The ledger of this process's cluster held it, and another one continues it.

    """
    lookout = Lookout(store, run)
    patience = Patience(f"run {run}")  # who waits for a run waits for its store, too
    while not (state := patience.ask(lambda: load_state(store, run))).phase.is_terminal:
        client = client_of(store)
        try:
            if client is not None:
                ended = client.wait(run)
                if ended is None or ended.diverged:
                    continue
                return None
        except RunNotFoundError:
            pass  # this cluster's ledger does not hold it: it ended just now, or another one holds it
        lookout.look()
        time.sleep(POLL_S)
    return state
