"""Bound the time until a request begins to be answered: an ASGI app around another one."""

from __future__ import annotations

import asyncio
from typing import Any

from flyte_ray.apps.auth import refuse


class Timely:
    """An ASGI app that is cancelled if it has not begun to answer in time; the client gets 504."""

    def __init__(self, app: Any, limit_s: float) -> None:
        """Bound an app."""
        self._app, self._limit_s = app, limit_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = asyncio.Event()

        async def telling(message: Any) -> None:
            begun.set()
            await send(message)

        serving = asyncio.ensure_future(self._app(scope, receive, telling))
        waiting = asyncio.ensure_future(begun.wait())
        try:
            await asyncio.wait((serving, waiting), timeout=self._limit_s, return_when=asyncio.FIRST_COMPLETED)
            if begun.is_set() or serving.done():
                await serving
                return
        finally:
            waiting.cancel()
            if not serving.done():
                serving.cancel()
        await refuse(scope, receive, send, 504, f"The app did not begin to answer within {self._limit_s:g} s.")
