"""Keep what the API has read of a root for its next requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from flyte_ray.api.run import Run
from flyte_ray.api.settings import current_store
from flyte_ray.errors import RunNotFoundError, StoreDamagedError
from flyte_ray.ledger.folded import FoldedRun, FoldedRuns
from flyte_ray.ledger.overview import describe_state
from flyte_ray.ledger.run_list import RunList
from flyte_ray.ledger.state import RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase


class _Root(NamedTuple):
    """What was read of one root."""

    folded: FoldedRuns
    list: RunList


_kept: Final[dict[str, _Root]] = {}


def folded_runs() -> FoldedRuns:
    """Return the folded runs of the root that applies."""
    return _root().folded


def run_list() -> RunList:
    """Return the list of runs of the root that applies."""
    return _root().list


def _root() -> _Root:
    """Return what was read of the root that applies; that of another one is forgotten."""
    store = current_store()
    found = _kept.get(store.uri)
    if found is None:
        _kept.clear()
        found = _kept[store.uri] = _Root(FoldedRuns(store), RunList(store))
        threading.Thread(target=_prepare, args=(found,), name="flyte-ray-list", daemon=True).start()
    return found


def _prepare(root: _Root) -> None:
    """Do beside the first request what the next ones would wait for."""
    import pyarrow.compute  # noqa: F401  # slow to import, and each log needs it

    root.list.complete()


def describe_open(about: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a run whose end is not in the list; one that cannot be read says so in `damage`, and hides no other."""
    try:
        return describe_folded(folded_runs().get(about["name"]))
    except (RunNotFoundError, StoreDamagedError) as error:
        return {**describe_state(about, RunState(RunId(about["name"])), None), "damage": str(error)}


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
