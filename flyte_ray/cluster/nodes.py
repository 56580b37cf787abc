"""Describe the connected cluster: its nodes and what they have."""

from __future__ import annotations

from typing import Any, Final

import ray

from flyte_ray.cluster.session import find_ledger
from flyte_ray.storage import Store

_SHOWN: Final = ("CPU", "GPU", "memory")
_INTERNAL: Final = ("object_store_memory",)


def describe_cluster(store: Store) -> dict[str, Any]:
    """Describe the connected cluster.

    Returns:
        `address`, `ray`, `ledger` (whether it serves this root), `free` (what nobody uses, by name) and `nodes`, each
        with `node`, `ip`, `head`, `alive` and `resources`: what it has by name, memory in bytes.

    """
    return {
        "address": str(ray.get_runtime_context().gcs_address),
        "ray": ray.__version__,
        "ledger": find_ledger(store) is not None,
        "free": _plain(ray.available_resources()),
        "nodes": [
            {
                "node": node["NodeID"],
                "ip": node["NodeManagerAddress"],
                "head": "node:__internal_head__" in node["Resources"],
                "alive": node["Alive"],
                "resources": _plain(node["Resources"]),
            }
            for node in ray.nodes()
        ],
    }


def _plain(resources: dict[str, float]) -> dict[str, float]:
    named = {name: value for name, value in resources.items() if not name.startswith("node:") and name not in _INTERNAL}
    return dict(sorted(named.items(), key=lambda pair: (pair[0] not in _SHOWN, pair[0])))
