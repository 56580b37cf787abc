"""What one holds of an app on a cluster: found by its name, switched off and on, deleted."""

from __future__ import annotations

import time
from typing import Any, Final

from flyte_ray.api.both import both_forms, both_forms_of_class, both_forms_of_method
from flyte_ray.api.settings import current_store, settings
from flyte_ray.apps.deploying import apply, change_state, refresh_app
from flyte_ray.apps.handle import Switched
from flyte_ray.apps.reaching import look, reach
from flyte_ray.cluster.session import has_cluster, is_connected
from flyte_ray.errors import DeploymentError
from flyte_ray.ledger.apps import (
    AppRecord,
    delete_app,
    find_address,
    find_app,
    find_cluster,
    list_apps,
    load_app,
    put_address,
)
from flyte_ray.storage import Store

HEALTHY: Final = "RUNNING"
"""Serve's word for an app that takes requests."""
_LOOK_S: Final = 0.5
_WATCH_S: Final = 600.0


class App(Switched):
    """An app of a root. Mirrors `flyte.remote.App`; what it says is read anew each time."""

    def __init__(self, store: Store, record: AppRecord, url: str | None = None) -> None:
        """Hold an app of a store."""
        self._store, self._record, self._url = store, record, url

    @both_forms_of_class
    def get(cls, name: str, project: str | None = None, domain: str | None = None) -> App:  # noqa: N805 - the class
        """Find an app by its name.

        Raises:
            ObjectMissing: The root holds none of this name.

        """
        store = current_store()
        return App(store, load_app(store, name))

    @both_forms_of_class
    def listall(cls, limit: int = 100) -> list[App]:  # noqa: N805
        """Return the apps of the root, by name."""
        store = current_store()
        return [App(store, record) for record in list_apps(store)[:limit]]

    @both_forms_of_class
    def delete(
        cls,  # noqa: N805
        name: str,
        project: str | None = None,
        domain: str | None = None,
        *,
        force: bool = False,
    ) -> None:
        """End an app and take it off the record; with `force`, which is ours, also if its cluster is gone for good.

        Raises:
            ObjectMissing: The root holds none of this name, and the cluster serves none.
            DeploymentError: It is active, and the cluster that serves it is not reached.

        """
        store = current_store()
        if find_app(store, name) is None and has_cluster(settings.address) and name in states():
            apply(store, name)  # an orphan
            return
        App(store, load_app(store, name)).deactivate(force=force)
        delete_app(store, name)

    @property
    def name(self) -> str:
        """The app's name."""
        return self._record.name

    @property
    def revision(self) -> int:
        """How often it was deployed, switched off or on."""
        return self.record.revision

    @property
    def desired_state(self) -> str:
        """`active` or `deactivated`, as it was asked for last."""
        return self.record.state

    @property
    def deployment_status(self) -> str:
        """Serve's word for how it is: `RUNNING`, `DEPLOYING`, `UNHEALTHY`, …; `UNKNOWN` where no cluster is reached."""
        return str(self.state()["status"])

    @property
    def endpoint(self) -> str:
        """The URL below which it answers requests, without a slash at its end.

        Raises:
            DeploymentError: It is not served.

        """
        url = self._url or find_address(self._store, self.name)
        if not url:
            raise DeploymentError(
                f"App '{self.name}' should be served before its endpoint is asked for, but is not. Activate it:"
                f" flyte-ray update app {self.name} --activate."
            )
        return url

    url = endpoint

    @property
    def record(self) -> AppRecord:
        """Its last revision."""
        self._record = load_app(self._store, self.name)
        return self._record

    def __repr__(self) -> str:
        return f"App({self.name!r}, revision {self._record.revision})"

    def state(self) -> dict[str, Any]:
        """Say how Serve has it: `status`, `message`, `replicas` by state."""
        client = look(self._store, self.name)
        none = {"message": "", "replicas": {}, "url": ""}
        if client is None and not is_connected():
            return {"status": "UNKNOWN", **none}
        found = client.app_states() if client else {}
        return dict(found.get(self.name, {"status": "NOT_SERVED", **none}))

    def is_active(self) -> bool:
        """Whether it takes requests."""
        return self.desired_state == "active" and self.deployment_status == HEALTHY

    def is_deactivated(self) -> bool:
        """Whether it was switched off."""
        return self.desired_state == "deactivated"

    @both_forms_of_method
    def activate(self, wait: bool = False) -> App:
        """Switch it on; returns when it answers, whatever `wait` says.

        Raises:
            DeploymentError: It does not start, or the cluster that serves it is not reached.

        """
        reach(self._store, self.record, needed=True)
        change_state(self._store, self.record, "active")
        self._url = apply(self._store, self.name)
        return self

    @both_forms_of_method
    def deactivate(self, wait: bool = False, *, force: bool = False) -> App:
        """Switch it off; returns when what it was asked is answered and its replicas have ended.

        With `force`, which is ours, it is switched off on record also if its cluster is gone for good.

        Raises:
            DeploymentError: It is active, and the cluster that serves it is not reached.

        """
        reached = reach(self._store, self.record, force=force)
        change_state(self._store, self.record, "deactivated")
        if reached:
            apply(self._store, self.name)
        else:
            put_address(self._store, self.name, "", find_cluster(self._store, self.name))
        self._url = None
        return self

    def read_logs(self, lines: int = 1000) -> list[dict[str, Any]]:
        """Read the ends of what its replicas have printed: `replica`, `node` and `text` of each that lives."""
        client = look(self._store, self.name)
        return client.app_logs(self.name, lines) if client else []

    @both_forms_of_method
    def show_logs(
        self,
        max_lines: int = 30,
        show_ts: bool = False,
        raw: bool = False,
        filter_system: bool = False,
        replica_name: str | None = None,
    ) -> None:
        """Print the ends of what its replicas have printed; those of one with `replica_name`. The others are taken."""
        for each in self.read_logs(max_lines):
            if replica_name in (None, each["replica"]):
                print(f"--- replica {each['replica']}\n{each['text']}", end="")

    @both_forms_of_method
    def refresh(self) -> App:
        """Serve the newest outputs of the tasks that its parameters name; returns when that is done. Ours, not Flyte's.

        Raises:
            ParameterMaterializationError: An output cannot be found.
            DeploymentError: It does not start with it, and what was served before still is; or the cluster that serves
                it is not reached.

        """
        reach(self._store, self.record)
        refresh_app(self._store, self.record)
        if self.desired_state == "active":
            self._url = apply(self._store, self.name)
        return self

    @both_forms_of_method
    def watch(self, wait_for: str = "activated") -> App:
        """Wait until it takes requests, or with `deactivated` until it does not.

        Raises:
            DeploymentError: That does not come within ten minutes.

        """
        until = time.monotonic() + _WATCH_S
        while self.is_active() != (wait_for == "activated"):
            if time.monotonic() > until:
                raise DeploymentError(f"App '{self.name}' should be {wait_for}, but is {self.deployment_status}.")
            time.sleep(_LOOK_S)
        return self


@both_forms
def states(*names: str) -> dict[str, dict[str, Any]]:
    """Say how Serve has the apps of the root, by name; empty where no ledger that serves them is reached.

    Without an address the cluster is that of the apps that are named, else of the first that has one which answers.
    """
    client = look(current_store(), *names)
    return client.app_states() if client else {}
