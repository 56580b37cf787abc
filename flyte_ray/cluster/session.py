"""Connect to a Ray cluster and find, or make, the actors of a root."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any, Final

from flyte_ray.cluster.bootstrap import bootstrap, make_actors
from flyte_ray.cluster.installing import ONE_TRY
from flyte_ray.cluster.lasting import is_lasting
from flyte_ray.cluster.names import NAMESPACE, launcher_name, ledger_name
from flyte_ray.cluster.package import own_digest, own_version
from flyte_ray.cluster.reach import is_dashboard, require_cluster
from flyte_ray.cluster.shared_root import refuse_memory
from flyte_ray.errors import ClusterError
from flyte_ray.storage import Store

SETTLE_S: Final = 1.0
"""How long a ledger without runs may take to write the last one's snapshot, before another version replaces it."""
_log: Final = logging.getLogger("flyte_ray")
_TOKEN_LOGGER: Final = "ray._private.authentication.authentication_token_setup"


def has_cluster(address: str | None) -> bool:
    """Whether this process is connected to Ray, or an address says where to connect to; never starts anything."""
    return is_connected() or bool(address or os.environ.get("RAY_ADDRESS"))


def is_connected() -> bool:
    """Whether this process is connected to Ray."""
    # Another thread may be importing it at this moment.
    initialized = getattr(sys.modules.get("ray"), "is_initialized", None)
    return initialized is not None and bool(initialized())


def is_through_client() -> bool:
    """Whether this process, which is connected, speaks to the cluster through Ray Client (`ray://`) alone."""
    from ray.util.client import ray as client  # see connect

    return bool(client.is_connected())


def quieten_ray() -> None:
    """Leave Ray's notices about its own start out of this process's output; its warnings of use stay."""
    ray_logger = logging.getLogger("ray")
    if ray_logger.level == logging.NOTSET:
        ray_logger.setLevel(logging.WARNING)  # else a file with a logger of its own shows how Ray starts
    logging.getLogger(_TOKEN_LOGGER).addFilter(_is_no_token_notice)


def _is_no_token_notice(record: logging.LogRecord) -> bool:
    # That tokens are used is the rule; that they are not is a warning, which stays.
    return not record.getMessage().startswith("Token authentication is enabled")


def connect(address: str | None) -> None:
    """Connect to the cluster at an address, or at `RAY_ADDRESS`, unless this process is connected already.

    Raises:
        ClusterError: There is no address, upon which Ray would start a cluster unasked; or nobody answers there within
            seconds, it refuses our token, or it has another version of Ray or Python.

    """
    if is_connected():
        return
    where = address or os.environ.get("RAY_ADDRESS")
    if not where:
        raise ClusterError(
            "A Ray cluster was asked for, but this process is connected to none and has no address of one. Call"
            " ray.init() before, give flyte.init(address='host:6379'), set RAY_ADDRESS, or run with mode='local'."
        )
    if is_dashboard(where):
        raise ClusterError(
            f"A cluster is reached by the address of its head's own port, got that of a dashboard, {where}. Through a"
            f" dashboard commands go: flyte-ray submit --address {where}. Give host:port, such as head:6379."
        )
    require_cluster(where)
    import ray  # half a second; only what runs on Ray pays it

    if is_lasting(where):
        # It listens on 127.0.0.1 alone, where Ray's own client would look for it at this machine's other address.
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        ray.init(address=where, namespace=NAMESPACE, log_to_driver=True, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"A Ray cluster should answer at {where}, but: {error}. Check the address and the cluster's logs."
        ) from error


def address_here() -> str:
    """The `host:port` of the cluster that this process is connected to."""
    import ray  # see connect

    return str(ray.get_runtime_context().gcs_address)


def start_embedded() -> None:
    """Start a Ray of this process's own, which ends with it.

    Raises:
        ClusterError: It does not start.

    """
    import ray  # see connect

    os.environ.setdefault(*ONE_TRY)
    try:
        ray.init(
            address="local",
            namespace=NAMESPACE,
            include_dashboard=False,
            log_to_driver=True,
            configure_logging=False,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"A Ray of this process's own should start, but: {error}. Use --local to run without Ray, or a cluster."
        ) from error


def find_ledger(store: Store) -> Any | None:
    """Return the handle of a root's ledger on the connected cluster, None if it has none."""
    import ray  # see connect

    try:
        return ray.get_actor(ledger_name(store.uri), NAMESPACE)
    except ValueError:
        return None


def ensure_ledger(store: Store, *, lasting: bool) -> Any:
    """Return the handle of a root's ledger, which is made with its launcher if the cluster has none.

    A ledger with another content of this package is replaced if it holds no run; else it stays, and so does the package
    of its slots, which is said.

    Args:
        store: The root; its fsspec arguments travel to the actors and are never recorded.
        lasting: The actors outlive this process.

    Raises:
        InvalidDeclaration: The root lies in this process's memory.

    """
    refuse_memory(store)
    found = find_ledger(store)
    if found is not None and not _end_other_version(store, found):
        return found
    if lasting:
        failed = bootstrap(store.uri, store.options)
        found = None if failed else find_ledger(store)
        if found is not None:
            return found
        _log.info("this process makes the ledger of %s itself: %s", store.uri, failed)
    launcher, ledger = make_actors(store.uri, store.options, lasting=lasting)
    if not lasting:
        _KEPT.extend((launcher, ledger))  # an actor that is not detached ends with its last handle
    return ledger


def _end_other_version(store: Store, ledger: Any) -> bool:
    import ray  # see connect

    known_as = ledger._actor_id.hex()
    if known_as in _SAME:
        return False
    try:
        # By their handles: another client may have put actors of its own in their place by then.
        launcher = ray.get_actor(launcher_name(store.uri), NAMESPACE)
    except ValueError:
        launcher = None  # it has died, and the ledger makes another one
    try:
        other = str(ray.get(ledger.serves.remote(own_digest())))
        if other == "idle":
            time.sleep(SETTLE_S)
            if launcher is not None:
                ray.kill(launcher)
            ray.kill(ledger)
    except ray.exceptions.RayActorError:
        other = "idle"  # another client has just ended it
    if not other:
        _SAME.add(known_as)
    if other and other != "idle":
        _log.warning(
            "The ledger of %s on this cluster holds runs and goes on with flyte-ray %s, also for this run; this process"
            " has %s. To run that one, wait until those runs have ended, or use another root.",
            *(store.uri, other, own_version()),
        )
    return other == "idle"


_KEPT: list[Any] = []
_SAME: set[str] = set()
"""Ledgers known to run this process's content of the package: one that is restarted runs the same again."""
