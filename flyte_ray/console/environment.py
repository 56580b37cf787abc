"""The console as an app of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.asgi_environment import FastAPIAppEnvironment
from flyte_ray.ledger.apps import CONSOLE


class ConsoleEnvironment(FastAPIAppEnvironment):
    """The console as an app: every run of the root in the browser, and what can be done with it. Ours, not Flyte's."""

    is_api = True
    made = frozenset({"app", "uvicorn_config", "requires_auth"})

    def __init__(
        self, name: str = CONSOLE, *, tasks: Sequence[TaskTemplate] = (), ask_token: bool = True, **fields: Any
    ) -> None:
        """Declare it.

        Args:
            name: Its name; the links of runs lead to the one that is called `console`.
            tasks: Those that may be started from it besides deployed ones.
            ask_token: People log in with a token of the root, which has the scope `api:read` or `api:write`.
            fields: Those of `AppEnvironment`. The console asks for tokens itself, because a browser sends no header:
                `requires_auth` is False.

        """
        from flyte_ray.console.building import build_console  # FastAPI takes half a second

        self.tasks, self.ask_token = tuple(tasks), ask_token
        app = build_console(self.tasks, ask_token=ask_token)
        super().__init__(name, app=app, **{"type": "Console", **fields, "requires_auth": False})
        self.is_api = True
