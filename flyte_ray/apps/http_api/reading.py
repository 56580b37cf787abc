"""Keep what the API has read of a root for its next requests."""

from __future__ import annotations

from typing import Final

from flyte_ray.api.settings import current_store
from flyte_ray.ledger.folded import FoldedRuns

_kept: Final[dict[str, FoldedRuns]] = {}


def folded_runs() -> FoldedRuns:
    """Return the folded runs of the root that applies; those of another one are forgotten."""
    store = current_store()
    found = _kept.get(store.uri)
    if found is None:
        _kept.clear()
        found = _kept[store.uri] = FoldedRuns(store)
    return found
