"""Say what a cluster has, and how much of it is in use."""

from __future__ import annotations

import json
from typing import Any, Final

from flyte_ray.cluster.options import scarcity

NAMES: Final = {"cpus": "CPU", "gpus": "GPU", "memory": "memory"}
"""What is told, by Ray's names; memory in bytes."""


def read_totals() -> dict[str, Any]:
    """Return `used` and `total` of each of `NAMES`, and the number of living `nodes`, of the connected cluster."""
    import ray  # half a second; only who is connected pays it

    total, free = ray.cluster_resources(), ray.available_resources()
    found = {
        name: {"used": round(total.get(key, 0) - free.get(key, 0), 4), "total": total.get(key, 0)}
        for name, key in NAMES.items()
    }
    return {**found, "nodes": sum(1 for node in ray.nodes() if node["Alive"])}


def reason_to_wait(options: str, pool: str | None) -> str:
    """Say for what a slot with these Ray options (JSON) waits on the connected cluster; see `scarcity`."""
    import ray  # see read_totals

    return scarcity(json.loads(options), ray.available_resources(), ray.cluster_resources(), pool)
