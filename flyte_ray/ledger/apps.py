"""Keep apps on record: what is served, in which revision, and whether it is to be.

Invariants: a revision is written once, with put-if-absent, and never changed; the last one of an app counts. So of two
that deploy at the same time each is on record, and one of them is the later.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.paths import APPS, address_key, app_key, app_prefix
from flyte_ray.ledger.revisions import put_next
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.storage import Store

State = Literal["active", "deactivated"]
Kind = Literal["asgi", "server", "command"]
CONSOLE: Final = "console"
"""The app that runs' links lead to."""


@dataclass(frozen=True)
class AppRecord:
    """One revision of an app."""

    name: str
    revision: int
    """Counts from 1: deployments, and switching off and on."""
    version: str
    """Digest of all that decides what is served."""
    state: State
    """What is wanted."""
    at_us: int
    by: str
    """Who made this revision, `user@host`."""
    route: str
    kind: Kind
    options: Mapping[str, Any]
    """Ray's options of a replica."""
    code: str | None
    """The marker of its code."""
    reference: Mapping[str, str]
    """Where the environment stands in that code, or itself, pickled."""
    app: Mapping[str, Any]
    """What it was declared as."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """By name: its `kind` and `value`; of an output of a run `run`, and in `source` by what it was found."""
    env_vars: Mapping[str, str] = field(default_factory=dict)
    """Variables that count in place of those declared."""
    entry: str = ""
    """What serves it in a replica, as `module:name`."""
    http: Mapping[str, Any] = field(default_factory=dict)
    """Where Serve is to listen, if it has to be started for this app."""
    raw_data_path: str | None = None
    start: Mapping[str, Any] = field(default_factory=dict)
    """Of a process of its own: the `path` that is asked for, `limit_s` until it answers, `check_s` for one answer."""
    lasting: bool = True
    """Whether it is to be served again when its cluster is lost; else that was a command's own, and ended with it."""


def load_app(store: Store, name: str) -> AppRecord:
    """Read the last revision of an app.

    Raises:
        ObjectMissing: The root holds none of this name.

    """
    found = find_app(store, name)
    if found is None:
        hint = did_you_mean(name, _names(store), "'flyte-ray get app' lists those it holds.")
        raise ObjectMissing(
            f"{store.uri}/{app_prefix(name)}", f"{store.uri} should hold an app '{name}', but does not. {hint}"
        )
    return found


def find_app(store: Store, name: str) -> AppRecord | None:
    """Read the last revision of an app; None if the root holds none of this name."""
    for key in reversed(store.keys(app_prefix(name))):
        try:
            return _read(store.get(key))
        except ObjectMissing:  # deleted meanwhile
            continue
    return None


def list_apps(store: Store) -> list[AppRecord]:
    """Read the last revision of all apps, by name."""
    found = (find_app(store, name) for name in _names(store))
    return [record for record in found if record is not None]


def _names(store: Store) -> list[str]:
    return sorted({key.split("/")[1] for key in store.keys(APPS)})


def add_revision(store: Store, record: AppRecord) -> AppRecord:
    """Put a revision on record, with the next number that is free; returns it as it was written."""
    before = find_app(store, record.name)
    number = put_next(
        store,
        before.revision + 1 if before else 1,
        lambda number: app_key(record.name, number),
        lambda number: _dump(dataclasses.replace(record, revision=number)),
    )
    return dataclasses.replace(record, revision=number)


def delete_app(store: Store, name: str) -> None:
    """Take an app off the record with all its revisions."""
    store.delete([*store.keys(app_prefix(name)), address_key(name)])


def put_address(store: Store, name: str, url: str, cluster: str, unguarded: Sequence[str] = ()) -> None:
    """Say where an app answers.

    Args:
        store: The root.
        name: The app.
        url: Empty if it does not answer.
        cluster: The `host:port` of the cluster that was asked.
        unguarded: Routes there that ask for no token and that other machines reach.

    """
    about = {"url": url, "cluster": cluster, "unguarded": list(unguarded)}
    store.put(address_key(name), json.dumps(about).encode())


def find_address(store: Store, name: str) -> str:
    """Return the URL below which an app answers, as far as is known; empty if it does not."""
    return str(_find_served(store, name).get("url", ""))


def page_of(store: Store, run: RunId) -> str:
    """Return the URL of a run's page in the root's console; empty if it has none that is on record."""
    console = find_address(store, CONSOLE)
    return f"{console}/runs/{run}" if console else ""


def find_cluster(store: Store, name: str) -> str:
    """Return the `host:port` of the cluster that served an app last; empty if that is not known."""
    return str(_find_served(store, name).get("cluster", ""))


def find_unguarded(store: Store, name: str) -> list[str]:
    """Return the routes of that cluster that other machines reached without a token when it was asked last."""
    return list(_find_served(store, name).get("unguarded", ()))


def _find_served(store: Store, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(store.get(address_key(name)))
    except ObjectMissing:
        return {}
    return found


def _dump(record: AppRecord) -> bytes:
    return json.dumps(dataclasses.asdict(record), sort_keys=True).encode()


def _read(data: bytes) -> AppRecord:
    return AppRecord(**json.loads(data))
