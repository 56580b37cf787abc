"""Stand before the console: who is let in, from where what changes something may come, and what browsers are told.

Invariants: what changes something comes from the console's own pages or from a program that brings its token itself;
a token is in no page, no address and no log. Without tokens the console answers on this machine's own names only, so
that no other site's name can be pointed at it.
"""

from __future__ import annotations

from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

from flyte_ray.apps.auth import Tokens, bearer_of, refuse
from flyte_ray.apps.http_api.asking import BY
from flyte_ray.errors import StoreError

COOKIE: Final = "flyte_ray_token"
HOST_COOKIE: Final = f"__Host-{COOKIE}"
"""The cookie's name where the console has a host of its own, by TLS: browsers take it from no other."""
LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
READS: Final = ("GET", "HEAD", "OPTIONS")
SAFE: Final = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
"""Headers of all answers that say nothing else."""


class Guard:
    """An ASGI app before the console."""

    def __init__(self, app: Any, tokens: Tokens | None, by: str, names: Collection[str] = LOCAL_NAMES) -> None:
        """Guard an app.

        Args:
            app: The console.
            tokens: Looks up tokens; None lets everybody in who asks for one of `names`.
            by: On whose behalf it acts without tokens.
            names: Hosts that it is called by without tokens.

        """
        self._app, self._tokens, self._by, self._names = app, tokens, by, frozenset(names)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve, or refuse."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        said = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        telling = _safely(send)
        reason = None if scope["method"] in READS or _is_same_origin(said) else _FOREIGN
        if self._tokens is None:
            if host_of(said) not in self._names:
                reason = f"The console answers to {', '.join(sorted(self._names))}. Open it by one of these names."
            if reason:
                await refuse(scope, receive, telling, 403, reason)
            else:
                await self._app({**scope, BY: self._by}, receive, telling)
        elif reason:
            await refuse(scope, receive, telling, 403, reason)
        else:
            await self._with_token(scope, receive, telling, said)

    async def _with_token(self, scope: Any, receive: Any, send: Any, said: dict[bytes, str]) -> None:
        assert self._tokens is not None
        brought = bearer_of(scope["headers"])
        text = brought or _cookie_of(said)
        try:
            token = await self._tokens.find(text) if text else None
        except StoreError:
            await refuse(scope, receive, send, 503, "The store that holds the tokens does not answer. Try again.")
            return
        wanted = "api:read" if scope["method"] in READS else "api:write"
        headers = [pair for pair in scope["headers"] if pair[0].lower() not in (b"authorization", b"cookie")]
        inner = {**scope, "headers": headers, "flyte_ray.scopes": token.scopes if token else ()}
        if token is not None:
            inner["flyte_ray.token"] = token.name
        if is_open(scope):
            await self._app(inner, receive, send)
        elif token is None:
            known = "The token is not known" if text else "A token is needed"
            await refuse(scope, receive, send, 401, f"{known}. Log in, or send 'Authorization: Bearer TOKEN'.")
        elif not token.allows(wanted):
            await refuse(scope, receive, send, 403, f"The token lacks the scope {wanted}.")
        elif not brought and wanted == "api:write" and not _says_origin(said):
            await refuse(scope, receive, send, 403, _FOREIGN)
        else:
            await self._app(inner, receive, send)


_FOREIGN: Final = "What changes something must come from the console's own pages, or bring its token itself."


def path_of(scope: Any) -> str:
    """Return a request's address below the console's own."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def is_open(scope: Any) -> bool:
    """Tell whether everybody may ask that: pages hold no data, and a login brings what it needs."""
    path = path_of(scope)
    return path == "/api/session" or not path.startswith(("/api/", "/openapi.json"))


def host_of(said: dict[bytes, str]) -> str:
    """Return the name by which the server was asked, without its port."""
    return urlsplit(f"//{said.get(b'host', '')}").hostname or ""


def _is_same_origin(said: dict[bytes, str]) -> bool:
    """Whether a request that changes something comes from our pages, or from no page at all."""
    if said.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = said.get(b"origin")
    return origin is None or urlsplit(origin).netloc == said.get(b"host")


def _says_origin(said: dict[bytes, str]) -> bool:
    return b"origin" in said or b"sec-fetch-site" in said


def _cookie_of(said: dict[bytes, str]) -> str:
    try:
        cookies = SimpleCookie(said.get(b"cookie", ""))
    except CookieError:
        return ""
    morsel = cookies.get(HOST_COOKIE) or cookies.get(COOKIE)
    return morsel.value if morsel else ""


def _safely(send: Any) -> Any:
    async def telling(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            known = {name.lower() for name, _ in headers}
            message = {**message, "headers": headers + [pair for pair in SAFE.items() if pair[0] not in known]}
        await send(message)

    return telling
