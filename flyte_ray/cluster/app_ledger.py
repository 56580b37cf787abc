"""Have apps served on behalf of a root's ledger: one change of an app at a time, each in a Ray task of its own.

To serve needs Serve's client, which takes a second and 50 MB to import: not in the ledger's process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final

import ray
from ray.exceptions import RayTaskError

from flyte_ray.cluster.bootstrap import on_head
from flyte_ray.cluster.package import arriving, send_package
from flyte_ray.cluster.serve_options import ingress_variables
from flyte_ray.errors import BaseRuntimeError, StoreError
from flyte_ray.ledger.apps import find_app, list_apps
from flyte_ray.storage import Store

FIRST_LOOK_S: Final = 5.0
"""Age of the ledger at which apps are looked for that are to be served."""
AGAIN_S: Final = 5.0
"""Pause before a root that did not answer is asked again."""
MOST_CHANGES: Final = 8
"""Apps that are changed or looked at at the same time."""
_MODULE: Final = "flyte_ray.cluster.serving"
_LOGS: Final = "flyte_ray.cluster.app_logs"
_log: Final = logging.getLogger("flyte_ray.ledger")


class AppLedger:
    """The apps of a root; its waits are on threads of its own, because an app may take minutes to start."""

    def __init__(self, store: Store) -> None:
        """Serve those of a store."""
        self._store = store
        self._locks: dict[str, threading.Lock] = {}
        self._asked: set[str] = set()
        self._pool = ThreadPoolExecutor(MOST_CHANGES, "flyte-ray-app")

    async def apply(self, name: str) -> str:
        """Make true what is on record of an app; return its URL, empty if it is not served.

        Raises:
            DeploymentError: It cannot be served.

        """
        self._asked.add(name)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._apply, name)

    async def states(self) -> dict[str, dict[str, Any]]:
        """Say how the apps of this root are on the cluster."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._states)

    async def logs(self, name: str, lines: int) -> list[dict[str, Any]]:
        """Read the ends of what the replicas of an app printed."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._logs, name, lines)

    def restore(self) -> None:
        """Have all apps served that are to be, and no others: after a start of the cluster, or of the ledger.

        Who made this ledger to serve an app has a say before that.
        """
        time.sleep(FIRST_LOOK_S)
        while True:
            try:
                active = [record for record in list_apps(self._store) if record.state == "active"]
                break
            except StoreError as error:
                _log.warning("the apps of the root could not be looked for, which is tried again: %s", error)
                time.sleep(AGAIN_S)
        wanted = [record.name for record in active if record.lasting]
        for name in [*wanted, *self._unwanted([record.name for record in active])]:
            if name in self._asked:
                continue
            try:
                self._apply(name)
            except Exception:  # one app that does not start must not keep the others from it
                _log.exception("app %s could not be served again, or ended", name)

    def _unwanted(self, wanted: list[str]) -> list[str]:
        """Apps of this root that Serve has, but that are on record as switched off, or no longer at all."""
        if not serve_runs():
            return []
        try:
            return sorted(self._states().keys() - set(wanted))
        except Exception:  # those that are wanted are served all the same
            _log.exception("it could not be seen which apps are served")
            return []

    def _apply(self, name: str) -> str:
        with self._locks.setdefault(name, threading.Lock()):
            program, record = send_package(), find_app(self._store, name)
            variables = ingress_variables(record) if record else {}
            args = (program, program, self._store.uri, self._store.options, name)
            url: str = _in_task("apply", *args, variables=variables)
            return url

    def _states(self) -> dict[str, dict[str, Any]]:
        found = _in_task("states", send_package())
        return {name: state for name, state in found.items() if state["root"] == self._store.uri}

    def _logs(self, name: str, lines: int) -> list[dict[str, Any]]:
        program = send_package()
        found: list[dict[str, Any]] = _in_task("read_logs", program, program, name, lines, module=_LOGS)
        return found


def serve_runs() -> bool:
    """Whether this cluster has a Serve, without importing its client."""
    try:
        ray.get_actor("SERVE_CONTROLLER_ACTOR", "serve")
    except ValueError:
        return False
    return True


def _in_task(
    function: str, *args: Any, module: str = _MODULE, variables: Mapping[str, str] = MappingProxyType({})
) -> Any:
    """Call a function in a Ray task of its own; the variables are for Serve, which reads them once, and its actors."""
    entry = ray.remote(arriving(module, function))
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": on_head()}
    if variables:
        options["runtime_env"] = {"env_vars": dict(variables)}
    try:
        ref = entry.options(**options, name=f"flyte-ray {function} app").remote(*args)
        return ref.future().result()  # ray.get would warn of a loop that it blocks, which is on another thread
    except RayTaskError as error:
        cause = error.cause if isinstance(error.cause, BaseRuntimeError) else None
        raise cause or error from None
