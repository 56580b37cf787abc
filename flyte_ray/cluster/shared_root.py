"""Find out whether a `file://` root is one folder for all nodes of a cluster.

With a folder that every node has for itself, slots on other nodes would find nothing and their values would vanish; the
first one says so instead, and a driver on another node at once. Knows nothing of Ray: nodes are names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from flyte_ray.errors import InvalidDeclaration, StoreError
from flyte_ray.ledger.paths import spec_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.storage.providers import protocol_of

PATIENCE_S: Final = 5.0
"""How long a shared disk may take to show on one node what another has written: NFS keeps listings for seconds."""
_STEP_S: Final = 0.25


def refuse_memory(store: Store) -> None:
    """Refuse a root that no other process sees.

    Raises:
        InvalidDeclaration: It lies in this process's memory.

    """
    if protocol_of(store.uri) == "memory":
        raise InvalidDeclaration(
            f"A root that all processes see was expected, got {store.uri}, which lies in the memory of this one. Give a"
            f" folder or a bucket, or run in local mode."
        )


def check_root(
    store: Store,
    run: RunId,
    node: str,
    keeper: str,
    *,
    sees: Callable[[], bool] = lambda: True,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return if the root that this node sees is the one which the ledger writes to.

    Looks for the run's start, which the ledger has stored before any slot begins. Roots that are no folder, such as
    `s3://…`, are the same everywhere and are not asked.

    Args:
        store: The root, opened on this node.
        run: A run that the ledger has started.
        node: Name or address of this node, as a person knows it.
        keeper: Name or address of the node that the ledger is on.
        sees: Whether the ledger's own node sees the run: a root that is away for all is waited for.
        sleep: Passes the time between two looks, in seconds.

    Raises:
        StoreError: The folder is not shared with the ledger's node; names both nodes.

    """
    if not store.uri.startswith("file://"):
        return
    waited = 0.0
    while not _holds(store, run):
        if waited >= PATIENCE_S and not sees():
            waited = 0.0
        elif waited >= PATIENCE_S:
            raise StoreError(
                f"A root on a disk must be one folder for all nodes, but {store.uri} on node {node} lacks run"
                f" {run!r}, which node {keeper} has written to its own. Use an s3:// root, or a folder on a disk that"
                f" all nodes mount."
            )
        sleep(_STEP_S)
        waited += _STEP_S


def _holds(store: Store, run: RunId) -> bool:
    try:
        return store.exists(spec_key(run))
    except StoreError:
        return False
