"""Let the user declare apps that are Python objects: FastAPI, Starlette, or any other ASGI app."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flyte_ray.api.task import TaskTemplate
from flyte_ray.apps.environment import AppEnvironment
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.app import Link
from flyte_ray.spec.parameter import Parameter

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI


class FastAPIAppEnvironment(AppEnvironment):
    """An app that is a FastAPI object, served in the replica itself. Mirrors Flyte's `FastAPIAppEnvironment`."""

    def __init__(
        self, name: str, *, app: FastAPI | Any, uvicorn_config: uvicorn.Config | None = None, **fields: Any
    ) -> None:
        """Declare it.

        Args:
            name: Its name.
            app: The FastAPI object, or any other ASGI app.
            uvicorn_config: How uvicorn serves it in local mode; on a cluster it is Serve that serves.
            fields: Those of `AppEnvironment`.

        Raises:
            TypeError: `app` is no ASGI app.
            InvalidDeclaration: A command is given, too.

        """
        if not callable(app) or inspect.isclass(app):
            raise TypeError(
                f"App '{name}': app must be a FastAPI object or another ASGI app, got {app!r:.80}. Write app=FastAPI()."
            )
        self.app = app
        self.uvicorn_config = uvicorn_config
        fields.setdefault("type", "FastAPI" if hasattr(app, "openapi") else "ASGI")
        docs = getattr(app, "docs_url", None)
        links = [*fields.pop("links", ())]
        if docs and not any(link.path == docs for link in links):
            links.append(Link(docs, "API documentation", is_relative=True))
        super().__init__(name, links=links, **fields)
        if self.app_spec.argv:
            raise InvalidDeclaration(
                f"App '{name}' serves its app itself, got the command {' '.join(self.app_spec.argv)!r}. Leave it out."
            )

    @property
    def asgi(self) -> Any:
        """The app."""
        return self.app


class HTTPAPIEnvironment(FastAPIAppEnvironment):
    """The HTTP API as an app: start, watch, signal and abort runs, and read what a root holds. Ours, not Flyte's."""

    is_api = True
    made = frozenset({"app", "uvicorn_config"})

    def __init__(self, name: str = "api", *, tasks: Sequence[TaskTemplate] = (), **fields: Any) -> None:
        """Declare it.

        Args:
            name: Its name.
            tasks: Those that may be started by it.
            fields: Those of `AppEnvironment`.

        """
        from flyte_ray.apps.http_api import build_api  # FastAPI takes half a second

        self.tasks = tuple(tasks)
        super().__init__(name, app=build_api(self.tasks), **{"type": "HTTP API", **fields})

    def scope_of(self, scope: Any) -> str:
        """Return `api:read` for what only reads, else `api:write`."""
        return "api:read" if scope.get("method") in ("GET", "HEAD", "OPTIONS") else "api:write"


class ModelAppEnvironment(FastAPIAppEnvironment):
    """A scikit-learn model behind `POST /predict`. Ours, not Flyte's."""

    made = frozenset({"app", "uvicorn_config"})

    def __init__(self, name: str, *, model: Any, **fields: Any) -> None:
        """Declare it.

        Args:
            name: Its name.
            model: The file that joblib or pickle has written: a `RunOutput` of type `file`, a `File`, or a path.
            fields: Those of `AppEnvironment`.

        """
        from flyte_ray.apps.model_api import Model, build_model_api  # see HTTPAPIEnvironment

        self.model, self.loaded = model, Model()
        parameter = Parameter("model", model, type="file" if isinstance(model, str) else None)
        # A clone brings that of its origin.
        parameters = [parameter, *(each for each in fields.pop("parameters", ()) if each.name != "model")]
        super().__init__(
            name, app=build_model_api(self.loaded), parameters=parameters, **{"type": "scikit-learn", **fields}
        )
        self.startup = self.loaded.load

    def clone_with(self, name: str, **changes: Any) -> AppEnvironment:
        """Return one of another name, with a model of its own."""
        clone = super().clone_with(name, **changes)
        assert isinstance(clone, ModelAppEnvironment)
        clone.startup = clone.loaded.load
        return clone
