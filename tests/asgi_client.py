"""Ask an ASGI app without a server: each request has an event loop of its own, cookies stay."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx


class Client:
    """Asks an app as a browser on `host` would; a streamed answer comes when it has ended."""

    def __init__(self, app: Any, base: str = "http://127.0.0.1:8088", **options: Any) -> None:
        self._transport, self._base, self._options = httpx.ASGITransport(app), base, options
        self.cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, options))

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=self._transport, base_url=self._base, cookies=self.cookies, **self._options
        ) as client:
            answer = await client.request(method, path, **options)
            self.cookies = client.cookies
            return answer
