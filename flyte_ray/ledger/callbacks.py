"""Know where a condition can be answered over HTTP: what `{callback_uri}` in its webhook stands for.

The HTTP API of a root is an app: on record if a cluster serves it, else known to the process that serves it alone.
"""

from __future__ import annotations

from typing import Any, Final

from flyte_ray.errors import UnsupportedError
from flyte_ray.ledger.apps import find_address, list_apps
from flyte_ray.spec.condition import CALLBACK, ConditionWebhook
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

here: Final[list[str]] = []
"""URLs of the HTTP APIs that this process serves itself."""


def find_api(store: Store) -> str:
    """Return the URL below which the HTTP API of a root answers, without a slash at its end.

    Raises:
        UnsupportedError: The root has none that is served.

    """
    if here:
        return here[-1]
    apis = (record.name for record in list_apps(store) if record.state == "active" and record.app.get("is_api"))
    for url in filter(None, (find_address(store, name) for name in apis)):
        return url
    raise UnsupportedError(
        f"A ConditionWebhook with '{CALLBACK}' needs the HTTP API of its root, but {store.uri} has none that is served."
        f" Serve it: flyte-ray serve serve/api.py. Or send the run's name, for 'flyte-ray signal condition RUN NAME"
        f" VALUE'."
    )


def callback_uri(store: Store, run: RunId, action: str) -> str:
    """Return the URI to which the value that answers a condition is POSTed.

    Raises:
        UnsupportedError: The root has no HTTP API that is served.

    """
    return f"{find_api(store)}/api/runs/{run}/conditions/{action}"


def called_back(webhook: ConditionWebhook, uri: str) -> ConditionWebhook:
    """Put the URI wherever a webhook names it."""
    return ConditionWebhook(webhook.url.replace(CALLBACK, uri), _replaced(webhook.payload, uri))


def _replaced(value: Any, uri: str) -> Any:
    if isinstance(value, str):
        return value.replace(CALLBACK, uri)
    if isinstance(value, dict):
        return {_replaced(key, uri): _replaced(each, uri) for key, each in value.items()}
    return [_replaced(each, uri) for each in value] if isinstance(value, (list, tuple)) else value
