"""The console's pages: one template, which `static/main.js` fills by the address, and the files that it loads.

Invariants: a page holds nothing of a run but the name in its address, so that it is the same for everybody and needs no
token; what stands in it is escaped; no page may load or run anything that does not come from here.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flyte_ray.spec.version import VERSION

HERE: Final = Path(__file__).parent
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self';"
    " connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load: its own files alone, and nothing inline."""
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
PAGES: Final = (
    *("/", "/runs/{run}", "/runs/{run}/actions/{action}", "/tasks", "/tasks/{name}", "/triggers"),
    *("/apps", "/apps/{name}", "/cache", "/login"),
)
"""Addresses that show a page."""


def add_pages(app: FastAPI) -> None:
    """Put the pages and their files on an app."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, auto_reload=True
    )
    router = APIRouter(include_in_schema=False)
    for address in PAGES:
        router.add_api_route(address, _page(templates), methods=["GET"])
    app.include_router(router)
    app.add_api_route("/static/{name}", _files(), methods=["GET"], include_in_schema=False)


def _files() -> Any:
    """Answer with the pages' own files from memory: read by threads, they would wait for a large run that is folded."""
    held = {}
    for path in (HERE / "static").iterdir():
        data = path.read_bytes()
        held[path.name] = data, mimetypes.guess_type(path.name)[0], f'"{hashlib.sha256(data).hexdigest()[:16]}"'

    async def send(request: Request, name: str) -> Response:
        if name not in held:
            return Response("There is no such file.", 404)
        data, media, tag = held[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=media, headers=headers)

    return send


def _page(templates: Environment) -> Any:
    modules = sorted(path.name for path in (HERE / "static").glob("*.js"))

    async def show(request: Request) -> Response:
        base, place = request.scope.get("root_path", ""), request.path_params
        soon = [f"/api/runs/{quote(place['run'], safe='')}/table"] if "run" in place and "action" not in place else []
        words = {"base": base, "version": VERSION, "modules": modules, "soon": soon}
        text = templates.get_template("page.html").render(words)
        return Response(text, media_type="text/html", headers=HEADERS)

    return show
