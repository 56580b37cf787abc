"""Bound the bodies of requests: an ASGI app around another one."""

from __future__ import annotations

import contextlib
from typing import Any

from flyte_ray.apps.auth import refuse


class _TooLarge(Exception):
    pass


class Bounded:
    """An ASGI app that refuses bodies of more than some bytes with 413."""

    def __init__(self, app: Any, most_bytes: int) -> None:
        """Bound an app."""
        self._app, self._most_bytes = app, most_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        got, answered, too_large = 0, False, False

        async def counting() -> Any:
            nonlocal got, too_large
            message = await receive()
            got += len(message.get("body", b""))
            too_large = too_large or got > self._most_bytes
            if too_large:
                raise _TooLarge
            return message

        async def telling(message: Any) -> None:
            nonlocal answered
            if not too_large or answered:  # else the app makes an error of its own of ours
                answered = True
                await send(message)

        said = dict(scope["headers"]).get(b"content-length", b"0")
        too_large = said.isdigit() and int(said) > self._most_bytes
        if not too_large:
            with contextlib.suppress(_TooLarge):
                await self._app(scope, counting, telling)
        if too_large and not answered:
            await refuse(scope, receive, send, 413, f"A request may have a body of {self._most_bytes:,} bytes at most.")
