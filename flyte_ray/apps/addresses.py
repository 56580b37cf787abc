"""Know the addresses of apps by their names."""

from __future__ import annotations

from typing import Final

from flyte_ray.api.settings import current_store
from flyte_ray.errors import DeploymentError
from flyte_ray.ledger.apps import find_address

here: Final[dict[str, str]] = {}
"""URLs of the apps that this process serves, by name."""


def endpoint_of(name: str) -> str:
    """Return the URL of an app that is served, without a slash at its end.

    Raises:
        DeploymentError: No app of this name is served.

    """
    if name in here:
        return here[name]
    url = find_address(current_store(), name)
    if url:
        return url
    raise DeploymentError(
        f"App '{name}' should be served before its endpoint is asked for, but is not. Call flyte.serve on it."
    )
