"""Describe the connected cluster: its nodes and what they have."""

from __future__ import annotations

from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

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


def ask_nodes(question: Any, *given: Any, limit_s: float) -> tuple[dict[str, Any], dict[str, str]]:
    """Have each node of the connected cluster answer by a small task.

    Args:
        question: A function that Ray pickles by value: nodes may lack this package.
        given: Its arguments.
        limit_s: How long they may take together, in seconds.

    Returns:
        The answers by the node's id, and of those that gave none why.

    """
    asked = {
        ray.remote(question)
        .options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            name="flyte-ray asks a node",
        )
        .remote(*given): node["NodeID"]
        for node in ray.nodes()
        if node["Alive"]
    }
    ready, late = ray.wait([*asked], num_returns=len(asked), timeout=limit_s)
    answers, silent = {}, {asked[ref]: f"it took longer than {limit_s:g} s" for ref in late}
    for ref in ready:
        try:
            answers[asked[ref]] = ray.get(ref)
        except RayError as error:
            silent[asked[ref]] = str(error).strip().rpartition("\n")[2]
    return answers, silent


def _plain(resources: dict[str, float]) -> dict[str, float]:
    named = {name: value for name, value in resources.items() if not name.startswith("node:") and name not in _INTERNAL}
    return dict(sorted(named.items(), key=lambda pair: (pair[0] not in _SHOWN, pair[0])))
