"""Say what a cluster has, and how much of it is in use."""

from __future__ import annotations

from typing import Any, Final

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
