"""Hand requests on to a server on this machine: HTTP with streams both ways, server-sent events, WebSockets.

An ASGI app. Invariants: bytes pass as they are, neither unpacked nor collected; what ends on one side ends on the
other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from flyte_ray.apps.auth import refuse
from flyte_ray.apps.readiness import HOST

WAIT_S: Final = 60.0
"""How long a request waits for a server that is started again."""
CONNECT_S: Final = 5.0
SMALL: Final = 256 * 1024
"""Bodies of a known size up to this go on in one piece, which is cheaper."""
_HOPS: Final = frozenset(
    name.encode()
    for name in (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade"),
    )
)
"""Headers that speak of one connection."""
_OF_WEBSOCKET: Final = (b"sec-websocket-", b"upgrade", b"connection")


class Target(Protocol):
    """The server behind."""

    port: int

    async def answering(self, limit_s: float) -> bool:
        """Wait until it answers; False if it does not in time."""


class Proxy:
    """An ASGI app in front of a server."""

    def __init__(self, target: Target) -> None:
        """Hand on to a server."""
        self._target = target
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if not await self._target.answering(WAIT_S):
            await refuse(scope, receive, send, 503, "The app's server does not answer. Try again.")
        elif scope["type"] == "http" and _wants_page(scope) and not _path(scope):
            # Pages name their parts relative to their own address, which has to end with a slash for that.
            where = f"{scope['root_path'].rpartition('/')[2]}/".encode() + _query(scope)
            await send({"type": "http.response.start", "status": 307, "headers": [(b"location", where)]})
            await send({"type": "http.response.body", "body": b""})
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._session is not None:
            await self._session.close()

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        headers = _forwarded(scope)
        # A body is there if its length or its form is said.
        has_body = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        gone = asyncio.Event()
        body = _body(receive, gone) if has_body else None
        try:
            async with self._connections().request(
                scope["method"], self._url("http", scope), headers=headers, data=body, allow_redirects=False
            ) as response:
                begin = {
                    "type": "http.response.start",
                    "status": response.status,
                    "headers": [(name.lower(), value) for name, value in response.raw_headers if _passes(name)],
                }
                length = response.content_length
                if length is not None and length <= SMALL:
                    whole = await response.read()
                    await send(begin)
                    await send({"type": "http.response.body", "body": whole})
                    return
                await send(begin)
                await _until_either(_stream(response, send), _disconnected(receive, gone))
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            if not gone.is_set():
                await refuse(scope, receive, send, 502, f"The app's server ended the connection: {error}.")

    async def _websocket(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()  # the wish to connect
        headers = _forwarded(scope, without=_OF_WEBSOCKET)
        try:
            upstream = await self._connections().ws_connect(
                self._url("ws", scope),
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
            await _until_either(_upwards(receive, upstream), _downwards(upstream, send))

    def _url(self, scheme: str, scope: Any) -> URL:
        below = (_path(scope) or b"/") + _query(scope)
        return URL(f"{scheme}://{HOST}:{self._target.port}{below.decode('latin-1')}", encoded=True)


def _path(scope: Any) -> bytes:
    """The path below the app's route, as it was sent: decoded and encoded again it might be another one."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    prefix = scope.get("root_path", "").encode()
    return raw[len(prefix) :] if prefix and raw.startswith(prefix) else raw


def _query(scope: Any) -> bytes:
    return b"?" + scope["query_string"] if scope.get("query_string") else b""


def _wants_page(scope: Any) -> bool:
    accepts = (value for name, value in scope["headers"] if name.lower() == b"accept")
    return scope["method"] == "GET" and any(b"text/html" in value for value in accepts)


def _passes(name: bytes) -> bool:
    return name.lower() not in _HOPS


def _forwarded(scope: Any, without: tuple[bytes, ...] = ()) -> CIMultiDict[str]:
    found: CIMultiDict[str] = CIMultiDict()
    for name, value in scope["headers"]:
        lower = name.lower()
        if lower not in _HOPS and not (without and lower.startswith(without)):
            found.add(lower.decode("latin-1"), value.decode("latin-1"))
    found["x-forwarded-prefix"] = scope.get("root_path", "")
    found.setdefault("x-forwarded-proto", {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"]))
    if scope.get("client"):
        found.setdefault("x-forwarded-for", str(scope["client"][0]))
    return found


async def _body(receive: Any, gone: asyncio.Event) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            gone.set()
            raise aiohttp.ClientConnectionError("the client is gone")
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


async def _stream(response: aiohttp.ClientResponse, send: Any) -> None:
    async for chunk in response.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Any, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    gone.set()


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


async def _until_either(*ways: Any) -> None:
    """Run both ways until one has ended; an error of either is raised."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
