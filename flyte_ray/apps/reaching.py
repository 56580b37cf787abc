"""Reach the cluster that serves an app before anything about the app is changed, on record or there.

Invariants: what raises here has changed nothing; an app that is active on one cluster is not changed by way of another.
"""

from __future__ import annotations

import contextlib
from typing import Any

from flyte_ray.api.settings import current_store, settings
from flyte_ray.cluster.session import address_here, connect, has_cluster, is_connected
from flyte_ray.errors import ClusterError, DeploymentError
from flyte_ray.ledger.apps import AppRecord, find_cluster, list_apps
from flyte_ray.storage import Store


def reach(store: Store, record: AppRecord, *, needed: bool = False, force: bool = False) -> bool:
    """Connect to the cluster that serves an app: the one that was given, else the one on record.

    Args:
        store: The root.
        record: The app, before it is changed.
        needed: A cluster is needed although the app is not served: it is about to be.
        force: Go on without the cluster, which is gone for good.

    Returns:
        Whether this process is connected to a cluster.

    Raises:
        DeploymentError: The cluster that serves the app is not reached.
        ClusterError: The cluster that was given is not reached.

    """
    name, active = record.name, record.state == "active"
    where = find_cluster(store, name)
    force = force or not (needed or record.lasting)  # an embedded cluster that does not answer has ended
    gone = f"nothing was changed. {_way_out(where)}"
    if not has_cluster(settings.address):
        if not (active or needed):
            return False
        if not where and not force:
            raise DeploymentError(f"App '{name}' needs its cluster, but no address was given or is on record: {gone}")
        try:
            connect(where)
        except ClusterError as error:
            if force:
                return False
            reason = str(error).rstrip(".")
            raise DeploymentError(f"App '{name}' needs its cluster at {where}, but: {reason}; {gone}") from error
        return True
    try:
        connect(settings.address)
    except ClusterError:
        if force:
            return False
        raise
    here = address_here()
    if active and not force and where not in ("", here) and name not in _served():
        raise DeploymentError(f"App '{name}' is served by the cluster at {where}, not by the one at {here}: {gone}")
    return True


def look(store: Store, *names: str) -> Any:
    """Find the client of the ledger that serves apps, without an address by the clusters on record.

    Args:
        store: The root.
        names: Whose cluster is looked for, the first that answers; all apps of the root if none is named.

    Returns:
        The client; None where no such cluster is reached, or the ledger does not run there.

    Raises:
        ClusterError: The cluster that was given is not reached.

    """
    if has_cluster(settings.address):
        return find_client()
    wanted = names or tuple(record.name for record in list_apps(store) if record.state == "active")
    for where in dict.fromkeys(find_cluster(store, name) for name in wanted):
        with contextlib.suppress(ClusterError):
            if where:
                connect(where)
                return find_client()
    return None


def find_client() -> Any:
    """The client of the root's ledger; None where that does not run."""
    if not is_connected():
        connect(settings.address)
    from flyte_ray.cluster import client  # imports ray, which is connected by now

    return client.find_client(current_store())


def _served() -> dict[str, Any]:
    found = find_client()
    return found.app_states() if found else {}


def _way_out(where: str) -> str:
    return f"Give --address {where or 'HOST:PORT'}, or --force if that cluster is gone for good."
