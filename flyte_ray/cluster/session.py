"""Connect to a Ray cluster and find, or make, the actors of a root."""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

from flyte_ray.cluster.names import NAMESPACE, launcher_name, ledger_name
from flyte_ray.errors import ClusterError
from flyte_ray.storage import Store


def has_cluster(address: str | None) -> bool:
    """Whether this process is connected to Ray, or an address says where to connect to; never starts anything."""
    return is_connected() or bool(address or os.environ.get("RAY_ADDRESS"))


def is_connected() -> bool:
    """Whether this process is connected to Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def connect(address: str | None) -> None:
    """Connect to the cluster at an address, or at `RAY_ADDRESS`, unless this process is connected already.

    Raises:
        ClusterError: Nobody answers there, or the cluster has another version of Ray or Python.

    """
    if is_connected():
        return
    where = address or os.environ.get("RAY_ADDRESS")
    import ray  # half a second; only what runs on Ray pays it

    try:
        ray.init(address=where, namespace=NAMESPACE, log_to_driver=True, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"A Ray cluster should answer at {where}, but: {error}. Check the address, that the cluster runs this"
            f" version of Ray ({ray.__version__}) and Python, and its token (RAY_AUTH_MODE, RAY_AUTH_TOKEN)."
        ) from error


def start_embedded() -> None:
    """Start a Ray of this process's own, which ends with it."""
    import ray  # see connect

    ray.init(
        address="local",
        namespace=NAMESPACE,
        include_dashboard=False,
        log_to_driver=True,
        configure_logging=False,
    )


def find_ledger(store: Store) -> Any | None:
    """Return the handle of a root's ledger on the connected cluster, None if it has none."""
    import ray  # see connect

    try:
        return ray.get_actor(ledger_name(store.uri), NAMESPACE)
    except ValueError:
        return None


def ensure_ledger(store: Store, storage: dict[str, Any], *, lasting: bool) -> Any:
    """Return the handle of a root's ledger, which is made with its launcher if the cluster has none.

    Args:
        store: The root.
        storage: fsspec arguments for it; they travel to the actors and are never recorded.
        lasting: The actors outlive this process.

    """
    found = find_ledger(store)
    if found is not None:
        return found
    import ray  # see connect
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from flyte_ray.cluster.launcher import Launcher
    from flyte_ray.cluster.ledger_actor import LedgerActor

    common: dict[str, Any] = {
        "namespace": NAMESPACE,
        "get_if_exists": True,
        "num_cpus": 0,
        "lifetime": "detached" if lasting else None,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(_head(), soft=True),
        "max_concurrency": 10_000,
    }
    name, launcher = ledger_name(store.uri), launcher_name(store.uri)
    made = ray.remote(Launcher).options(**common, name=launcher, max_restarts=0).remote(name, store.uri, storage)
    # The launcher must be there before the ledger looks for it.
    ray.get(made.alive.remote())
    holder = f"ray:{ray.get_runtime_context().gcs_address}:{uuid.uuid4().hex[:8]}"
    ledger = (
        ray.remote(LedgerActor)
        .options(**common, name=name, max_restarts=-1, max_task_retries=-1)
        .remote(store.uri, storage, launcher, holder)
    )
    ray.get(ledger.ping.remote())
    if not lasting:
        _KEPT.extend((made, ledger))  # an actor that is not detached ends with its last handle
    return ledger


_KEPT: list[Any] = []


def _head() -> str:
    import ray  # see connect

    alive = [node for node in ray.nodes() if node["Alive"]]
    heads = [node for node in alive if "node:__internal_head__" in node["Resources"]]
    return str((heads or alive)[0]["NodeID"])
