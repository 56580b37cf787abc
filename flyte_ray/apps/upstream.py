"""Ask a server on this machine over HTTP/1.1, on connections that are kept.

What a general client does for each request (cookies, redirects, URLs, timers) costs more than many a server needs to
answer it: here a request is one write, and an answer that is small wakes its reader once.

Invariants: a connection is used again only after a request that was sent and an answer that came to its end; nothing is
read ahead without bound, in either direction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import httptools

KEEP_S: Final = 4.0
"""How long a connection that is not used is kept: most servers close theirs after 5 s."""
CONNECT_S: Final = 5.0
WHOLE: Final = 256 * 1024
"""Answers of a known size up to this are waited for in one piece; of others, not much more than this is read ahead."""
_BOUNDS: Final = (b"content-length", b"transfer-encoding")
"""An answer without one of these ends with its connection."""
_ENDED: Final = "it ended the connection"
_LENIENT: Final = ("lenient_headers", "lenient_optional_cr_before_lf", "lenient_spaces_after_chunk_size")

Headers = list[tuple[bytes, bytes]]


class HungUp(ConnectionError):
    """The server ended the connection, or sent what is no HTTP."""

    untouched = False
    """The connection was an older one, and no answer had begun: most likely the server has not seen the request."""


class Body(Protocol):
    """The body of a request as it goes on the wire."""

    ended: bool
    """Whether all of it was taken."""

    async def next(self) -> bytes:
        """Wait for more of it; raises ConnectionError if there will be no more."""


class Upstream:
    """Connections to a server of this machine."""

    def __init__(self, host: str) -> None:
        """Connect to a host."""
        self._host, self._port = host, 0
        self._idle: list[_Connection] = []
        self._sweeping: asyncio.TimerHandle | None = None

    async def ask(self, port: int, head: bytes, method: str, body: Body | None) -> Answer:
        """Send a request; returns when its head is sent, with what there is of the body.

        Args:
            port: The server's; when it changes, that is another server.
            head: The request down to the empty line, framed for its body: by a length, or in chunks.
            method: As in there.
            body: None for none.

        Returns:
            What its answer will be; who asked closes it.

        Raises:
            OSError: The server cannot be reached, or the client is gone.

        """
        if port != self._port:
            self.close()
            self._port = port
        connection = self._take()
        answer = Answer(
            connection or await self._connect(port), method == "HEAD", connection is not None, self._release
        )
        try:
            await answer.send(head, body)
        except BaseException:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """Close what is not in use."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self, port: int) -> _Connection:
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(lambda: _Connection(port), self._host, port)
        return (await asyncio.wait_for(connecting, CONNECT_S))[1]

    def _release(self, connection: _Connection) -> None:
        if connection.port != self._port:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.used_at = loop.time()
        self._idle.append(connection)
        if self._sweeping is None:
            self._sweeping = loop.call_later(KEEP_S, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        oldest = loop.time() - KEEP_S
        while self._idle and (self._idle[0].used_at <= oldest or not self._idle[0].is_open):
            self._idle.pop(0).close()
        self._sweeping = loop.call_later(KEEP_S / 4, self._sweep, loop) if self._idle else None


class Answer:
    """What a server answers, as far as it has come."""

    def __init__(
        self, connection: _Connection, is_head: bool, is_old: bool, release: Callable[[_Connection], None]
    ) -> None:
        """Expect it on a connection, which is released if it comes to its end."""
        self._connection, self._is_head, self._is_old, self._release = connection, is_head, is_old, release
        self._sending: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: HungUp | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._is_small = self._is_bounded = self._keeps = self._streams = False
        self.status = 0
        self.headers: Headers = []
        """Names in lower case."""
        self.is_whole = False
        """Whether all of it is here."""
        connection.answer = self
        if not connection.is_open:  # it ended as soon as it was there
            self.fail(HungUp(_ENDED))

    async def send(self, head: bytes, body: Body | None) -> None:
        """Send the request; what of its body is not there yet is sent beside the wait for the answer."""
        if body is None:
            self._connection.write(head)
            return
        self._connection.write(head + await body.next())
        if not body.ended:
            self._sending = asyncio.ensure_future(self._send_rest(body))

    async def begun(self, limit_s: float | None = None) -> bool:
        """Wait until its begin is here, or all of it if it is small; False if that takes longer.

        Raises:
            HungUp: The server ended the connection before.

        """
        loop = asyncio.get_running_loop()
        timer = loop.call_later(limit_s, self._wake) if limit_s is not None else None
        try:
            if not self._is_ready:
                await self._more()
            if self._error:
                raise self._error
            return self._is_ready
        finally:
            if timer is not None:
                timer.cancel()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield its body as it comes.

        Raises:
            HungUp: The server ended the connection in the middle of it.

        """
        self._streams = True
        while True:
            if self._parts:
                yield self.take()
            elif self.is_whole:
                return
            elif self._error:
                raise self._error
            else:
                await self._more()

    def take(self) -> bytes:
        """Take what of its body is here."""
        found = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._size = [], 0
        self._connection.read_on()
        return found

    def close(self) -> None:
        """Have done with it: its connection is kept if all was sent and received, else closed."""
        is_sent = self._sending is None or self._sending.done()
        if self._sending is not None:
            self._sending.cancel()
        if self.is_whole and self._keeps and is_sent and self._connection.is_open:
            self._release(self._connection)
        else:
            self._connection.close()

    @property
    def _is_ready(self) -> bool:
        return self.is_whole or self._error is not None or (self.status > 0 and not self._is_small)

    async def _send_rest(self, body: Body) -> None:
        try:
            while not body.ended:
                self._connection.write(await body.next())
                await self._connection.drained()
        except ConnectionError as error:  # of the client; of the server the answer tells more
            self.fail(HungUp(str(error)))
            self._connection.close()

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def told_head(self, status: int, headers: Headers, keeps: bool) -> None:
        """Its head is here."""
        self.status, self.headers, self._keeps = status, headers, keeps
        bounds = [pair for pair in headers if pair[0] in _BOUNDS]
        self._is_bounded = bool(bounds)
        if self._is_head:  # the parser waits for a body that does not come
            self.is_whole, self._keeps = True, False
        elif bounds and bounds[0][0] == b"content-length" and bounds[0][1].isdigit():
            self._is_small = int(bounds[0][1]) <= WHOLE

    def told_body(self, part: bytes) -> bool:
        """Some of its body is here; False if that is enough for the moment."""
        self._parts.append(part)
        self._size += len(part)
        return self._is_small or self._size < WHOLE

    def told(self) -> None:
        """What has arrived at once was told."""
        if self._streams or self._is_ready:
            self._wake()

    def fail(self, error: HungUp) -> None:
        """The connection has ended."""
        if self.status and not self._is_bounded and self._error is None:
            self.is_whole, self._keeps = True, False
        elif not self.is_whole and self._error is None:
            error.untouched = self._is_old and not self.status
            self._error = error
        self._wake()


class _Connection(asyncio.Protocol):
    """One connection, which has one request at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.used_at = 0.0
        self.is_open = False
        self.answer: Answer | None = None
        self._headers: Headers = []
        self._transport: Any = None
        self._is_paused = False
        self._full: asyncio.Future[None] | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        with suppress(AttributeError, TypeError):  # older ones know fewer, and bear less
            self._parser.set_dangerous_leniencies(**dict.fromkeys(_LENIENT, True))

    def write(self, data: bytes) -> None:
        if data:
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait while the server takes no more."""
        if self._full is not None:
            await self._full
        if not self.is_open:
            raise HungUp("it takes no more of the request")

    def read_on(self) -> None:
        if self._is_paused and self.is_open:
            self._is_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        self.is_open = False
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport, self.is_open = transport, True

    def eof_received(self) -> bool:
        self.is_open = False
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self.resume_writing()
        if self.answer is not None:
            self.answer.fail(HungUp(_ENDED))

    def pause_writing(self) -> None:
        self._full = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._full is not None and not self._full.done():
            self._full.set_result(None)
        self._full = None

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None or answer.is_whole:  # nobody has asked
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            answer.fail(HungUp(f"it sent what is no HTTP answer ({error})"))
            self.close()
        answer.told()

    def on_message_begin(self) -> None:
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.answer is not None and status >= 200:
            self.answer.told_head(status, self._headers, self._parser.should_keep_alive())

    def on_body(self, part: bytes) -> None:
        if self.answer is not None and not self.answer.told_body(part) and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.answer is not None and self.answer.status:  # else it was one of those that come before the answer
            self.answer.is_whole = True
