"""Ask the ledger of a root, from a user's process: start, wait, abort, look, resume."""

from __future__ import annotations

import time
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RayTaskError

from flyte_ray.cluster.lent_secrets import lent_as
from flyte_ray.cluster.names import NAMESPACE, ledger_name
from flyte_ray.cluster.reach import listens
from flyte_ray.cluster.session import find_ledger, is_through_client
from flyte_ray.cluster.shared_root import check_root
from flyte_ray.errors import BaseRuntimeError, ClusterError, StoreError
from flyte_ray.ledger.requests import Ended, Start
from flyte_ray.ledger.revision import Revision
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.storage import Store
from flyte_ray.types.signing import Pickling

AGAIN_S: Final = 0.5
GONE_S: Final = 60.0
"""How long a ledger may be away before this gives up."""
PROBE_S: Final = 5.0
"""How long an answer may take before this looks whether the cluster is still there."""
LOST_S: Final = 20.0
"""How long nothing may listen at the cluster's address; after a minute Ray ends this process without a word of ours."""


class LedgerClient:
    """A root's ledger on the connected cluster; outlives restarts of the actor."""

    def __init__(self, store: Store, actor: Any, pickling: Pickling | None = None) -> None:
        """Speak to an actor.

        Args:
            store: Says which root it serves.
            actor: Its handle.
            pickling: Has the key of the runs that are started or continued here; the actor and the slots keep it in
                their memory alone.

        """
        self._store, self._actor, self._pickling = store, actor, pickling
        self._is_far = is_through_client()
        self._address: str = ray.get_runtime_context().gcs_address

    def start(self, start: Start) -> None:
        """Start a run; returns when its start is stored.

        Raises:
            RunAlreadyExistsError: The root holds another run of this name.
            StoreError: The root is a folder that this node does not share with the ledger's; the run is aborted.

        """
        self.lend_key()
        self._ask("start", start)
        if not self._store.uri.startswith("file://"):
            return
        node, address = self._ask("place")
        # Through Ray Client this process passes for one of the head's, and may stand on any machine.
        if node == ray.get_runtime_context().get_node_id() and not self._is_far:
            return
        try:
            check_root(self._store, start.run, ray.util.get_node_ip_address(), address)
        except StoreError as error:
            self.abort(start.run, ROOT_ACTION, str(error), current_user())
            raise

    def resume(self, run: RunId, *, take_over: bool, revision: Revision | None = None) -> None:
        """Continue a run that was cut off or failed, with other code if there is a revision."""
        self.lend_key()
        self._ask("resume", run, take_over, revision)

    def lend_secrets(self, run: RunId, nonce: str, values: dict[str, bytes]) -> None:
        """Bring the secrets of a run that is about to start or to go on; the cluster keeps them in memory alone.

        Raises:
            ClusterError: The ledger is of a version that knows no secrets.

        """
        if not values:
            return
        if not hasattr(self._actor, "take_secrets"):
            raise ClusterError(
                f"The ledger of {self._store.uri} should hand out secrets, but is of an earlier flyte-ray and holds"
                f" runs. Wait until those have ended, or use another root."
            )
        self._ask("take_secrets", lent_as(run, nonce), values)

    def lend_key(self) -> None:
        """Bring the key of this process, for runs that the ledger starts or continues by itself."""
        # A ledger of an earlier version, which goes on because it holds runs, signs nothing.
        if self._pickling is not None and self._pickling.key is not None and hasattr(self._actor, "take_key"):
            self._ask("take_key", self._pickling)

    def wait(self, run: RunId, timeout_s: float | None = None) -> Ended | None:
        """Return how an active run ended, None after the timeout; raises `RunNotFoundError` if it is not active."""
        ended: Ended | None = self._ask("wait", run, timeout_s=timeout_s)
        return ended

    def abort(self, run: RunId, action: str, reason: str, by: str, timeout_s: float | None = None) -> bool:
        """Abort an action and all below it, on behalf of `by`, a `user@host`; False if it is not active.

        Returns when that is stored, or after the timeout, if it is decided only.
        """
        return self._ask("abort", run, action, reason, by, timeout_s=timeout_s) is not False

    def nudge(self, run: RunId) -> None:
        """Have the ledger look for signals; it does so now and then in any case, so this waits for nothing."""
        self._actor.nudge.remote(run)

    def look(self, run: RunId) -> dict[str, Any] | None:
        """Summarize an active run; None if it is not active."""
        found: dict[str, Any] | None = self._ask("look", run)
        return found

    def apply_app(self, name: str) -> str:
        """Make true what is on record of an app; return its URL, empty if it is not served.

        Raises:
            DeploymentError: It cannot be served.
            ClusterError: The root's ledger is of a version that knows no apps.

        """
        if not hasattr(self._actor, "apply_app"):
            raise ClusterError(
                f"The ledger of {self._store.uri} should serve apps, but is of an earlier flyte-ray and holds runs."
                f" Wait until those have ended, or use another root."
            )
        return str(self._ask("apply_app", name))

    def app_states(self) -> dict[str, dict[str, Any]]:
        """Say how the apps of this root are on the cluster, by name."""
        found: dict[str, dict[str, Any]] = self._ask("app_states") if hasattr(self._actor, "app_states") else {}
        return found

    def app_logs(self, name: str, lines: int) -> list[dict[str, Any]]:
        """Read the ends of what the replicas of an app printed: `replica`, `node`, `text` of each."""
        found: list[dict[str, Any]] = self._ask("app_logs", name, lines) if hasattr(self._actor, "app_logs") else []
        return found

    def _ask(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        since: float | None = None
        while True:
            try:
                return self._await(getattr(self._actor, method).remote(*args), timeout_s)
            except ray.exceptions.GetTimeoutError:
                return None
            except ConnectionError as error:
                raise ClusterError(
                    f"Ray Client should be connected to the cluster, but is not any more: {error}. Call ray.shutdown()"
                    f" and connect again: runs go on, and flyte.remote.Run.get(NAME) finds them."
                ) from error
            except RayTaskError as error:
                # Ray wraps the exception; ours are meant for the user as they are.
                cause = error.cause if isinstance(error.cause, BaseRuntimeError) else None
                raise cause or error from None
            except RayActorError as error:
                since = since or time.monotonic()
                if time.monotonic() - since > GONE_S:
                    raise ClusterError(
                        f"The ledger of {self._store.uri} should answer, but has not for {GONE_S:.0f} s. Look whether"
                        f" its cluster lives; 'flyte-ray resume' continues a run on another one."
                    ) from error
                time.sleep(AGAIN_S)
                self._reconnect()

    def _await(self, ref: Any, timeout_s: float | None) -> Any:
        """Get an answer; Ray itself would wait for a cluster that has ended, and never say so."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        lost: float | None = None
        while True:
            left = PROBE_S if until is None else max(0.0, min(PROBE_S, until - time.monotonic()))
            try:
                return ray.get(ref, timeout=left)
            except ray.exceptions.GetTimeoutError:
                if until is not None and time.monotonic() >= until:
                    raise
            if self._is_far or listens(self._address):  # Ray Client itself notices, and may reach nothing else
                lost = None
                continue
            lost = lost or time.monotonic()
            if time.monotonic() - lost > LOST_S:
                raise ClusterError(
                    f"The cluster at {self._address} should answer, but nothing listens there any more. Start a"
                    f" cluster; 'flyte-ray resume' continues a run on another one."
                )

    def _reconnect(self) -> None:
        try:
            self._actor = ray.get_actor(ledger_name(self._store.uri), NAMESPACE)
        except ValueError:
            return


def find_client(store: Store) -> LedgerClient | None:
    """Return the client of a root's ledger on the connected cluster, None if there is none."""
    actor = find_ledger(store)
    return LedgerClient(store, actor) if actor is not None else None
