"""Keep the list of a root's runs: an entry of each, the newest first in a plain listing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flyte_ray.ledger.paths import index_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.storage.patient import Patience


def list_run(store: Store, run: RunId, spec: Mapping[str, Any]) -> None:
    """Enter a run; waits for a store that does not answer, and changes nothing where it is entered."""
    # What it was called with may be long, and lists show neither that nor whom to tell of its end.
    listed = {name: value for name, value in spec.items() if name not in ("call", "notifications")}
    body = json.dumps(listed).encode()
    Patience(f"run {run}").ask(lambda: store.put(index_key(run, spec["started_us"]), body))


def list_runs(store: Store, limit: int) -> list[dict[str, Any]]:
    """Return what the newest runs were started with, newest first."""
    return [json.loads(store.get(key)) for key in store.keys("index")[:limit]]
