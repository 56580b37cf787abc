"""Keep what the API has read of a root for its next requests."""

from __future__ import annotations

from typing import Any, Final

from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store
from flyte_ray.ledger.folded import FoldedRun, FoldedRuns
from flyte_ray.ledger.overview import describe_state
from flyte_ray.spec.phase import ActionPhase

_kept: Final[dict[str, FoldedRuns]] = {}


def folded_runs() -> FoldedRuns:
    """Return the folded runs of the root that applies; those of another one are forgotten."""
    store = current_store()
    found = _kept.get(store.uri)
    if found is None:
        _kept.clear()
        found = _kept[store.uri] = FoldedRuns(store)
    return found


def describe_folded(run: FoldedRun) -> dict[str, Any]:
    """Describe a run; see `describe_run`."""
    with run.lock:
        return describe_state(run.spec, run.state, run.hold())


def verbs_of(described: dict[str, Any]) -> list[str]:
    """Say what can be done with a run as it stands: of `abort`, `resume`, `rerun` and `recover`."""
    phase, hold = ActionPhase(described["phase"]), described["hold"]
    is_cut_off = bool(hold and hold["is_cut_off"])
    verbs = ["rerun"] if described["actions"] else []
    if phase.is_terminal or is_cut_off:
        return [*verbs, *(["recover"] if verbs else []), *([] if phase.has_succeeded else ["resume"])]
    return [*verbs, *(["abort"] if Run(current_store(), described["name"]).look() else [])]
