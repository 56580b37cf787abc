"""Let a person in by a token, which stays in a cookie that no script can read."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from flyte_ray.apps.auth import Tokens
from flyte_ray.apps.http_api.asking import who
from flyte_ray.console.guard import COOKIE, HOST_COOKIE

MOST_AGE_S = 30 * 24 * 3600


class Login(BaseModel):
    """What one logs in with."""

    token: str


def login_router(tokens: Tokens | None) -> APIRouter:
    """Make the routes; without tokens everybody is let in."""
    router = APIRouter(tags=["session"])

    @router.get("/api/session")
    def get_session(request: Request) -> dict[str, Any]:
        """Say whether a token is needed, and who is logged in."""
        known = tokens is None or "flyte_ray.token" in request.scope
        scopes = request.scope.get("flyte_ray.scopes", ())
        can_write = tokens is None or "api:write" in scopes
        return {
            "token_needed": tokens is not None,
            "who": who(request) if known else None,
            "can_read": can_write or "api:read" in scopes,
            "can_write": can_write,
        }

    @router.post("/login", response_model=None)
    async def login(login: Login, request: Request) -> Response:
        """Log in: the token is kept in a cookie of this console."""
        token = await tokens.find(login.token.strip()) if tokens is not None else None
        if tokens is not None and token is None:
            return JSONResponse({"detail": "The token is not known. Make one: flyte-ray create token NAME."}, 401)
        answer = Response(status_code=204)
        if token is not None:
            where = _place_of(request)
            answer.set_cookie(value=login.token.strip(), max_age=MOST_AGE_S, **where)
        return answer

    @router.post("/logout", response_model=None)
    async def logout(request: Request) -> Response:
        """Log out."""
        answer = Response(status_code=204)
        answer.delete_cookie(**_place_of(request))
        return answer

    return router


def _place_of(request: Request) -> dict[str, Any]:
    """Say under which name and where a browser keeps the token.

    Below a path, as on a cluster, it is sent to that path alone, so that the servers of other apps there never see it;
    their pages' scripts can still ask the console with it, because a browser takes one host for one site.
    """
    path = request.scope.get("root_path") or "/"
    secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    key = HOST_COOKIE if secure and path == "/" else COOKIE
    return {"key": key, "path": path, "secure": secure, "httponly": True, "samesite": "strict"}
