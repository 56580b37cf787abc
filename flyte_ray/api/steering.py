"""Find the ledger that holds a run, in this process or on the connected cluster, and have it abort actions."""

from __future__ import annotations

import contextlib
import queue
from typing import Any

from flyte_ray.api.cutoff import out_of_reach
from flyte_ray.cluster.session import is_connected
from flyte_ray.errors import ActionNotFoundError, RuntimeUserError
from flyte_ray.ledger.query import load_state
from flyte_ray.runtime.local import local_ledger
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store


def client_of(store: Store) -> Any:
    """Return the client of a root's ledger on the cluster that this process is connected to, None without one."""
    if not is_connected():
        return None
    from flyte_ray.cluster.client import find_client  # imports ray, which is connected by now

    return find_client(store)


def abort_action(store: Store, run: RunId, action: str, reason: str, timeout_s: float | None) -> None:
    """Abort an action and all below it; see `Run.abort_action`."""
    local = local_ledger(run)
    if local is not None and local.abort(run, action, reason, current_user()):
        stored: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        local.when_stored(run, stored.put)
        with contextlib.suppress(queue.Empty):
            if error := stored.get(timeout=timeout_s):
                raise error
        return
    client = client_of(store) if local is None else None
    if client is not None and client.abort(run, action, reason, current_user(), timeout_s):
        return
    known = load_state(store, run).actions.get(action)
    if known is None:
        raise ActionNotFoundError(f"Run {run!r} has no action {action!r}; `get action` lists those it has.")
    if known.phase.is_terminal:
        message = f"Action {action} of run {run!r} has ended already: {known.phase.value}. Nothing was aborted."
    else:
        message = f"Nothing was aborted. {out_of_reach(store, run)}"
    raise RuntimeUserError("NotAborted", message)
