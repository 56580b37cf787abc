"""Build the console: the HTTP API with pages on it, one ASGI app behind a guard."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fastapi import FastAPI

from flyte_ray.api.settings import current_store
from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.auth import Tokens
from flyte_ray.apps.http_api import build_api
from flyte_ray.console.guard import LOCAL_NAMES, Guard
from flyte_ray.console.login import login_router
from flyte_ray.console.pages import add_pages
from flyte_ray.ledger.tokens import Token, find_token
from flyte_ray.runtime.user import current_user


def build_console(
    tasks: Sequence[TaskTemplate] = (), *, ask_token: bool = False, names: Collection[str] = LOCAL_NAMES
) -> Any:
    """Build the console, an ASGI app.

    Args:
        tasks: Those that may be started from it besides deployed ones.
        ask_token: Let in who has a token of the root, with the scope `api:read`, and `api:write` for what changes
            something. Without it everybody is let in who reaches it by one of `names`.
        names: See there.

    """
    tokens = Tokens(_find) if ask_token else None

    def extend(app: FastAPI) -> None:
        app.include_router(login_router(tokens))
        add_pages(app)

    return Guard(build_api(tasks, extend, docs=False, deployed=True), tokens, current_user(), names)


def _find(text: str) -> Token | None:
    return find_token(current_store(), text)
