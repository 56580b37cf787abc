"""Hand requests on to a server on this machine: HTTP with streams both ways, server-sent events, WebSockets.

An ASGI app. Invariants: bytes pass as they are, neither unpacked nor collected; what ends on one side ends on the
other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from flyte_ray.apps.auth import refuse
from flyte_ray.apps.racing import until_either
from flyte_ray.apps.readiness import HOST
from flyte_ray.apps.upstream import Answer, Headers, HungUp, Upstream

if TYPE_CHECKING:
    from flyte_ray.apps.sockets import Sockets

WAIT_S: Final = 60.0
"""How long a request waits for a server that is started again."""
TRIES: Final = 20
"""How often a request is tried whose server has ended, until that is noticed."""
AGAIN_S: Final = 0.05
WATCH_S: Final = 0.5
"""After how long without an answer it is watched for whether the client is still there: to watch costs more than most
answers."""
_HARMLESS: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
"""Methods that may be sent twice."""
_HOPS: Final = frozenset(
    name.encode()
    for name in (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade", "expect"),
    )
)
"""Headers that speak of one connection; a body that is waited for was asked for by the server before us."""
_LAST: Final = b"0\r\n\r\n"


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
        self._upstream = Upstream(HOST)
        self._sockets: Sockets | None = None

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
        self._upstream.close()
        if self._sockets is not None:
            await self._sockets.close()

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        client = _Client(scope, receive)
        try:
            answer = await self._ask(client)
        except ValueError as error:
            await refuse(scope, receive, send, 400, f"The request cannot be handed on: {error}.")
            return
        except (OSError, asyncio.TimeoutError) as error:
            if not client.is_gone:
                await refuse(scope, receive, send, 502, f"The app's server did not answer: {error or 'it is busy'}.")
            return
        try:
            start = {"type": "http.response.start", "status": answer.status, "headers": _passed(answer.headers)}
            await send(start)
            if answer.is_whole:
                await send({"type": "http.response.body", "body": answer.take()})
            else:
                await until_either(_stream(answer, send), client.leaves())
        finally:
            answer.close()

    async def _ask(self, client: _Client) -> Answer:
        """Ask until an answer begins: again where the server has not seen the request, and that is sure or harmless."""
        for left in reversed(range(TRIES)):
            port = self._target.port
            head = _head(client.scope, client.has_body, port)
            try:
                return await self._ask_once(port, head, client)
            except ConnectionRefusedError:
                if client.has_begun or not left or not await self._comes_back():
                    raise
            except HungUp as error:
                if client.has_begun or not left or not (error.untouched and client.method in _HARMLESS):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _ask_once(self, port: int, head: bytes, client: _Client) -> Answer:
        answer = await self._upstream.ask(port, head, client.method, client if client.has_body else None)
        try:
            if not await answer.begun(WATCH_S):
                await until_either(answer.begun(), client.leaves())
            if client.is_gone:
                raise ConnectionAbortedError("the client is gone")
        except BaseException:
            answer.close()
            raise
        return answer

    async def _comes_back(self) -> bool:
        await asyncio.sleep(AGAIN_S)  # by then it is known that it has ended
        return await self._target.answering(WAIT_S)

    async def _websocket(self, scope: Any, receive: Any, send: Any) -> None:
        if self._sockets is None:
            from flyte_ray.apps.sockets import Sockets  # aiohttp takes a fifth of a second, which many apps never need

            self._sockets = Sockets()
        url = f"ws://{HOST}:{self._target.port}{_below(scope).decode('latin-1')}"
        await self._sockets.serve(url, _forwarded(scope), scope, receive, send)


class _Client:
    """Who asks; as a `Body`, what is asked."""

    def __init__(self, scope: Any, receive: Any) -> None:
        self.scope, self._receive = scope, receive
        self.method: str = scope["method"]
        names = [name.lower() for name, _ in scope["headers"]]
        self._in_chunks = b"transfer-encoding" in names
        self.has_body = self._in_chunks or b"content-length" in names
        """It is there if its length or its form is said."""
        self.has_begun = False
        """Some of the body was taken: it cannot be sent again."""
        self.ended = False
        self._through = asyncio.Event()
        self.is_gone = False

    async def next(self) -> bytes:
        """Wait for more of the body."""
        self.has_begun = True
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
            raise ConnectionAbortedError("the client is gone")
        part: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            self.ended = True
            self._through.set()
        if self._in_chunks:
            part = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
            return part + _LAST if self.ended else part
        return part

    async def leaves(self) -> None:
        """Wait until the client is gone, which shows when it has sent its request."""
        if self.has_body:
            await self._through.wait()
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self.is_gone = True


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


def _passed(headers: Headers) -> Headers:
    return [pair for pair in headers if pair[0] not in _HOPS]


def _below(scope: Any) -> bytes:
    return (_path(scope) or b"/") + _query(scope)


def _head(scope: Any, has_body: bool, port: int) -> bytes:
    """The begin of a request, down to the empty line.

    Raises:
        ValueError: A part of it would end a line; a server never hands such on, who asks by a handle may write it.

    """
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), _below(scope).replace(b" ", b"%20"))]
    names = set()
    for name, value in _forwarded(scope):
        names.add(name)
        lines.append(b"%b: %b" % (name, value))
    if b"host" not in names:
        lines.append(b"host: %b:%d" % (HOST.encode(), port))
    if has_body and b"content-length" not in names:
        lines.append(b"transfer-encoding: chunked")
    head = b"\r\n".join(lines)
    if head.count(b"\n") >= len(lines) or head.count(b"\r") >= len(lines) or b"\0" in head:
        raise ValueError("a header or the path holds a line break")
    return head + b"\r\n\r\n"


def _forwarded(scope: Any) -> Headers:
    """The headers for the server behind, names in lower case."""
    sent: Headers = []
    names = set()
    for name, value in scope["headers"]:
        lower = name.lower()
        if lower not in _HOPS and lower != b"x-forwarded-prefix":
            sent.append((lower, value))
        names.add(lower)
    if b"transfer-encoding" in names:  # it counts for the body, whatever a length says
        sent = [pair for pair in sent if pair[0] != b"content-length"]
    sent.append((b"x-forwarded-prefix", scope.get("root_path", "").encode()))
    if b"x-forwarded-proto" not in names:
        sent.append((b"x-forwarded-proto", b"https" if scope["scheme"] in ("https", "wss") else b"http"))
    if b"x-forwarded-for" not in names and scope.get("client"):
        sent.append((b"x-forwarded-for", str(scope["client"][0]).encode()))
    return sent


async def _stream(answer: Answer, send: Any) -> None:
    async for part in answer.stream():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
