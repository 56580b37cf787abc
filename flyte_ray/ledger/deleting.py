"""Delete a run with all that lies in the store for it alone.

Invariant: the list shows no run that is half deleted; who is interrupted may delete again.
"""

from __future__ import annotations

from flyte_ray.errors import RuntimeUserError
from flyte_ray.ledger.cutoff import hold_of
from flyte_ray.ledger.listing import unlist
from flyte_ray.ledger.paths import cache_key, data_place, lease_key, run_prefix, spec_key
from flyte_ray.ledger.query import list_kept, load_spec, load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_place


def delete_run(store: Store, run: RunId) -> int:
    """Delete a run: its record, its values, and the kept outcomes that refer to them.

    Its code stays, which other runs may have in common. A run that took over outcomes from this one loses what it did
    not copy: large values.

    Returns:
        How many kept outcomes went with it.

    Raises:
        RunNotFoundError: There is no such run.
        RuntimeUserError: It goes on.

    """
    spec = load_spec(store, run)
    phase = load_state(store, run).phase
    if not phase.is_terminal and not (hold := hold_of(store, run)).is_cut_off:
        raise RuntimeUserError(
            "NotDeleted",
            f"A run that is deleted must have ended, and {run!r} is {hold.describe(phase)}. Abort it first.",
        )
    kept = [key for key, entry in list_kept(store).items() if entry["run"] == run]
    unlist(store, run, spec["started_us"])
    store.delete([*map(cache_key, kept), lease_key(run)])
    beside, prefix = open_place(store, data_place(run, spec))
    beside.delete(beside.keys(prefix))
    # The start comes last: as long as it is there, the run can be deleted again.
    store.delete([key for key in store.keys(run_prefix(run)) if key != spec_key(run)])
    store.delete([spec_key(run)])
    unlist(store, run, spec["started_us"])  # a ledger may have entered its end, or packed it, since
    return len(kept)
