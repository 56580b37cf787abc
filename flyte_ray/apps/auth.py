"""Let through who has a token: an ASGI app around another one.

Invariants: no token reaches the app behind, a log or an answer; who is refused learns no more than why.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final

from flyte_ray.errors import StoreError
from flyte_ray.ledger.tokens import Token

KEEP_S: Final = 5.0
"""How long an answer of the store counts: a token that was deleted is of use that long."""
MOST: Final = 10_000
"""Texts that are remembered; what nobody ever made up is among them."""
LONGEST: Final = 256
"""Characters of a token at most; what is longer is none, and is not remembered."""


class Tokens:
    """Looks tokens up, and remembers for a moment what it found."""

    def __init__(self, find: Callable[[str], Token | None], clock: Callable[[], float] = time.monotonic) -> None:
        """Look up by a function that may take as long as a store does."""
        self._find, self._clock = find, clock
        self._known: dict[str, tuple[float, Token | None]] = {}

    async def find(self, text: str) -> Token | None:
        """Return the token that a text is; None if it is none.

        Raises:
            StoreError: The store does not answer.

        """
        if len(text) > LONGEST:
            return None
        known = self._known.get(text)
        if known is not None and self._clock() - known[0] < KEEP_S:
            return known[1]
        found = await asyncio.to_thread(self._find, text)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[text] = self._clock(), found
        return found


class Guarded:
    """An ASGI app that asks for a token with a scope."""

    def __init__(self, app: Any, tokens: Tokens, scope_of: Callable[[Any], str]) -> None:
        """Guard an app; what a token must allow is asked for each request."""
        self._app, self._tokens, self._scope_of = app, tokens, scope_of

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve, or refuse with 401 or 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        text = bearer_of(scope["headers"])
        try:
            token = await self._tokens.find(text) if text else None
        except StoreError:
            await refuse(scope, receive, send, 503, "The store that holds the tokens does not answer. Try again.")
            return
        if token is None:
            said = "The token is not known" if text else "A token is needed"
            await refuse(scope, receive, send, 401, f"{said}. Send 'Authorization: Bearer TOKEN'.")
        elif not token.allows(wanted := self._scope_of(scope)):
            await refuse(scope, receive, send, 403, f"The token lacks the scope {wanted}.")
        else:
            headers = [pair for pair in scope["headers"] if pair[0].lower() != b"authorization"]
            await self._app({**scope, "headers": headers, "flyte_ray.token": token.name}, receive, send)


def bearer_of(headers: Any) -> str:
    """Return the token that a request brings; empty if it brings none."""
    for name, value in headers:
        if name.lower() == b"authorization":
            kind, _, text = value.decode("latin-1").partition(" ")
            return text.strip() if kind.lower() == "bearer" else ""
    return ""


async def refuse(scope: Any, receive: Any, send: Any, status: int, sentence: str) -> None:
    """Answer a request that the app behind does not see."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": sentence})
        return
    body = json.dumps({"detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
