"""Build the console: the HTTP API with pages on it, one ASGI app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.http_api import build_api
from flyte_ray.console.pages import add_pages


def build_console(tasks: Sequence[TaskTemplate] = ()) -> Any:
    """Build the console, an ASGI app.

    Args:
        tasks: Those that may be started from it; none by default.

    """
    return build_api(tasks, extend=add_pages)
