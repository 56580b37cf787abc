"""Hand WebSockets on to a server on this machine."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from flyte_ray.apps.racing import until_either
from flyte_ray.apps.upstream import CONNECT_S, Headers

_OF_WEBSOCKET: Final = (b"sec-websocket-", b"upgrade", b"connection")


class Sockets:
    """WebSockets of clients, each with one to the server behind."""

    def __init__(self) -> None:
        """Have none yet; to be made on the loop that they live on."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def serve(self, url: str, sent: Headers, scope: Any, receive: Any, send: Any) -> None:
        """Connect one to `url`, with these headers, and pass on what either side says until one leaves."""
        await receive()  # the wish to connect
        headers = CIMultiDict(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in sent
            if not name.startswith(_OF_WEBSOCKET)
        )
        try:
            upstream = await self._session.ws_connect(
                URL(url, encoded=True),
                protocols=scope.get("subprotocols") or (),
                headers=headers,
                max_msg_size=0,
                autoping=True,
            )
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
            await send({"type": "websocket.close", "code": 1014, "reason": "the app's server refused"})
            return
        async with upstream:
            await send({"type": "websocket.accept", "subprotocol": upstream.protocol})
            await until_either(_upwards(receive, upstream), _downwards(upstream, send))

    async def close(self) -> None:
        """Close all."""
        await self._session.close()


async def _upwards(receive: Any, upstream: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(code=message.get("code") or 1000)
            return
        if message.get("text") is not None:
            await upstream.send_str(message["text"])
        else:
            await upstream.send_bytes(message["bytes"])


async def _downwards(upstream: Any, send: Any) -> None:
    async for message in upstream:
        if message.type is aiohttp.WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
    await send({"type": "websocket.close", "code": upstream.close_code or 1011})
