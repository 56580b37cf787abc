"""Put an app on record and have the cluster's Serve serve it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from flyte_ray.api.reachable import inclusions_of
from flyte_ray.api.settings import current_store, settings
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.apps.local import Patience
from flyte_ray.apps.parameters import Send, refresh, resolve
from flyte_ray.apps.reference import refer, source_of
from flyte_ray.apps.uploads import future_uri, upload
from flyte_ray.cluster.bundle import CopyStyle
from flyte_ray.cluster.code import pack_code, send_code
from flyte_ray.cluster.images import map_image
from flyte_ray.cluster.options import remote_options
from flyte_ray.cluster.package import own_digest
from flyte_ray.cluster.serve_options import HAPROXY_VAR
from flyte_ray.cluster.session import connect, ensure_ledger
from flyte_ray.errors import DeploymentError, InvalidDeclaration
from flyte_ray.ledger.apps import AppRecord, State, add_revision, find_app, find_cluster, find_unguarded
from flyte_ray.runtime.user import current_user
from flyte_ray.spec.app import AppSpec
from flyte_ray.spec.scaling import Scaling
from flyte_ray.storage import Store, ensure_writable

PORT_VAR: Final = "FLYTE_RAY_SERVE_PORT"
"""Variable that says on which port Serve is to listen, if this process has to have it started."""
HOST: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"
_log: Final = logging.getLogger("flyte_ray")
ENTRY: Final = "flyte_ray.apps.replica:Replica"
_DECIDING: Final = ("route", "kind", "options", "code", "reference", "app", "parameters", "env_vars", "entry", "start")


def deploy(
    env: AppEnvironment,
    *,
    parameters: Mapping[str, Any],
    env_vars: Mapping[str, str],
    copy_style: CopyStyle,
    raw_data_path: str | None,
    patience: Patience,
    lasting: bool = True,
) -> tuple[AppRecord, str]:
    """Serve an app on the cluster; returns when it answers.

    What is served already with the same content stays as it is, without a new revision.

    Args:
        env: The app.
        parameters: Values that count in place of those declared.
        env_vars: Variables that count in place of those declared.
        copy_style: Which files of the project travel.
        raw_data_path: What the app's context says.
        patience: What is asked for to see whether a process of its own answers, and how long it may take.
        lasting: The cluster outlives this process.

    Returns:
        Its record, and the URL below which it answers.

    Raises:
        DeploymentError: It cannot be served.

    """
    store = current_store()
    ensure_writable(store)
    if not lasting:
        _refuse_taking_over(store, env.name)
    connect(settings.address)
    record = plan(
        *(store, env),
        parameters=parameters,
        env_vars=env_vars,
        patience=patience,
        copy_style=copy_style,
        raw_data_path=raw_data_path,
    )
    record = dataclasses.replace(record, lasting=lasting)
    before = find_app(store, env.name)
    if before is None or (before.version, before.state, before.lasting) != (record.version, "active", lasting):
        before = add_revision(store, record)
    return before, apply(store, env.name, lasting=lasting)


def _refuse_taking_over(store: Store, name: str) -> None:
    """Refuse to serve for a while what a cluster serves for good: its record would end with the command."""
    before = find_app(store, name)
    where = find_cluster(store, name)
    if before is not None and before.state == "active" and before.lasting and where:
        raise DeploymentError(
            f"App '{name}' is on record as served by the cluster at {where}, and would be no more when this command"
            f" ends. Give --address {where}, or --local, or another --root; if that cluster is gone for good, switch"
            f" the app off first: flyte-ray update app {name} --deactivate --force."
        )


def plan(
    store: Store,
    env: AppEnvironment,
    *,
    parameters: Mapping[str, Any],
    env_vars: Mapping[str, str],
    patience: Patience,
    copy_style: CopyStyle = "loaded_modules",
    raw_data_path: str | None = None,
    stores: bool = True,
) -> AppRecord:
    """Describe what is to be deployed, and store its code and files unless `stores` is False; see `deploy`."""
    source = source_of(env)
    reference = refer(env, source)
    packing = source, copy_style, inclusions_of(source), settings.root_dir
    packed = None if stores else pack_code(*packing)
    return record_of(
        *(store, env, reference),
        code=send_code(store, *packing) if stores else packed and packed[0],
        send=partial(upload if stores else future_uri, store),
        parameters=parameters,
        env_vars=env_vars,
        patience=patience,
        raw_data_path=raw_data_path,
    )


def record_of(
    store: Store,
    env: AppEnvironment,
    reference: Mapping[str, str],
    *,
    code: str | None,
    parameters: Mapping[str, Any],
    env_vars: Mapping[str, str],
    patience: Patience,
    raw_data_path: str | None = None,
    send: Send | None = None,
) -> AppRecord:
    """Describe what is to be deployed.

    Args:
        store: The root.
        env: The app.
        reference: Where a replica finds it in the code.
        code: The marker of its code; None if it is installed where the app runs.
        parameters: Values that count in place of those declared.
        env_vars: Variables that count in place of those declared.
        patience: See `deploy`.
        raw_data_path: What the app's context says.
        send: Has files of this machine where the app can read them; by default it stores them in the root.

    """
    assert env.kind is not None, "checked by who calls"
    resolved = resolve(store, env.app_spec, parameters, send or partial(upload, store))
    mapped = map_image(env.name, env.image, known=settings.images).runtime_env
    record = AppRecord(
        name=env.name,
        revision=0,
        version="",
        state="active",
        at_us=time.time_ns() // 1000,
        by=current_user(),
        route=env.app_spec.route,
        kind=env.kind,
        options=remote_options(env.spec, bundle_digest=code, run_env=env_vars, mapped=mapped),
        code=code,
        reference=reference,
        app={**describe(env.app_spec), "is_api": env.is_api},
        parameters=resolved,
        env_vars=dict(env_vars),
        entry=ENTRY,
        http=ingress(),
        raw_data_path=raw_data_path,
        start={"path": patience.path, "limit_s": patience.activate_s, "check_s": patience.check_s},
    )
    return dataclasses.replace(record, version=_version(record))


def refresh_app(store: Store, record: AppRecord) -> AppRecord:
    """Put on record that an app is to serve the newest outputs of its tasks; nothing if it does so already.

    Raises:
        ParameterMaterializationError: An output cannot be found.

    """
    newest = dataclasses.replace(record, parameters=refresh(store, record.name, record.parameters))
    newest = dataclasses.replace(newest, version=_version(newest))
    if newest.version == record.version:
        return record
    return add_revision(store, dataclasses.replace(newest, at_us=time.time_ns() // 1000, by=current_user()))


def change_state(store: Store, record: AppRecord, state: State) -> AppRecord:
    """Put on record that an app is to be served, or not to be; nothing if it is so already."""
    if record.state == state:
        return record
    now, by = time.time_ns() // 1000, current_user()
    lasting = record.lasting or state == "active"  # who switches it on reaches a cluster that outlives the command
    return add_revision(store, dataclasses.replace(record, state=state, lasting=lasting, at_us=now, by=by))


def apply(store: Store, name: str, *, lasting: bool = True) -> str:
    """Have the cluster make true what is on record; return the app's URL, empty if it is not served."""
    connect(settings.address)
    from flyte_ray.cluster.client import LedgerClient  # imports ray, which is connected by now

    url = LedgerClient(store, ensure_ledger(store, lasting=lasting)).apply_app(name)
    unguarded = find_unguarded(store, name) if url else []
    if unguarded:
        _log.warning(
            "Ray Serve listens on all interfaces, and who reaches it needs no token for %s. Declare requires_auth=True,"
            " or let a firewall decide who reaches it.",
            ", ".join(unguarded),
        )
    return url


def describe(app: AppSpec) -> dict[str, Any]:
    """Say for the record what an app was declared as."""
    scaling = app.scaling
    metric = scaling.metric
    kind = None if metric is None else "concurrency" if isinstance(metric, Scaling.Concurrency) else "request_rate"
    return {
        "type": app.type,
        "port": app.port.port,
        "argv": list(app.argv),
        "names_port": app.names_port,
        "requires_auth": app.requires_auth,
        "scaling": {
            "least": scaling.least,
            "most": scaling.most,
            "metric": kind,
            "value": metric.val if metric else None,
            "scaledown_after_s": scaling.scaledown_after_s,
        },
        "timeout_s": app.timeouts.request_s,
        "links": [dataclasses.asdict(link) for link in app.links],
        "description": app.environment.description,
        "env_vars": dict(app.environment.env_vars or {}),
    }


def ingress() -> dict[str, Any]:
    """Say where Serve is to listen, and by what, if it has to be started.

    Raises:
        InvalidDeclaration: A variable has another form.

    """
    haproxy = os.environ.get(HAPROXY_VAR, "0")
    if haproxy not in ("0", "1"):
        raise InvalidDeclaration(f"{HAPROXY_VAR} must be 0 or 1, got {haproxy!r}. Set it to 1, or leave it out.")
    # HAProxy reaches the replicas of other nodes at ports of theirs that Serve opens on the same interfaces.
    host = EVERYWHERE if haproxy == "1" else HOST
    return {"host": host, "port": serve_port(), "haproxy": haproxy == "1"}


def serve_port() -> int:
    """Read on which port Serve is to listen.

    Raises:
        InvalidDeclaration: The variable holds no port.

    """
    text = os.environ.get(PORT_VAR, "8000")
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise InvalidDeclaration(f"{PORT_VAR} must be a port from 1 to 65535, got {text!r}. Set it to 8000.")
    return int(text)


def _version(record: AppRecord) -> str:
    """Digest what decides what is served, and by which version of this package."""
    deciding = {name: getattr(record, name) for name in _DECIDING}
    text = json.dumps([deciding, own_digest()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
