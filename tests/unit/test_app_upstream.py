"""Connections of the proxy to a server that behaves in odd ways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flyte_ray.apps import upstream
from flyte_ray.apps.proxy import Proxy
from flyte_ray.apps.upstream import WHOLE

SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answers = Callable[[int, bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Odd:
    """A server of this test's: `answers` is called with the number of the connection and the head of each request."""

    def __init__(self, answers: Answers) -> None:
        self._answers, self.connections, self.port, self.seen = answers, 0, 0, b""
        self.answering_again: Callable[[], Awaitable[None]] | None = None

    async def answering(self, limit_s: float) -> bool:
        if self.answering_again:
            await self.answering_again()
        return True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen += head
                await self._answers(number, head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Client:
    """An ASGI client: what it sends, and what it has got."""

    def __init__(self, method: str = "GET", *parts: bytes, path: str = "/", headers: Any = ()) -> None:
        self._parts = [*parts]
        self.leaves, self.got = asyncio.Event(), asyncio.Event()
        self.status, self.body = 0, b""
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "/apps/odd",
            "scheme": "http",
            "query_string": b"",
            "headers": [*headers],
            "client": ("10.0.0.1", 5),
        }

    async def receive(self) -> dict[str, Any]:
        if self._parts:
            return {"type": "http.request", "body": self._parts.pop(0), "more_body": bool(self._parts)}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        self.got.set()


@asynccontextmanager
async def proxy_before(answers: Answers) -> AsyncIterator[tuple[Odd, Callable[[Client], Awaitable[Client]]]]:
    odd = Odd(answers)
    server = await asyncio.start_server(odd.serve, "127.0.0.1", 0)
    odd.port = server.sockets[0].getsockname()[1]
    proxy = Proxy(odd)

    async def ask(client: Client) -> Client:
        await asyncio.wait_for(proxy(client.scope, client.receive, client.send), 60)
        return client

    try:
        yield odd, ask
    finally:
        await proxy.close()
        server.close()


def answering(data: bytes, then: Callable[[asyncio.StreamWriter], None] | None = None) -> Answers:
    async def answers(number: int, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then:
            then(writer)

    return answers


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]  # a coroutine


def test_a_connection_serves_one_request_after_another() -> None:
    async def scenario() -> None:
        async with proxy_before(answering(SHORT)) as (odd, ask):
            for client in (Client(), Client("POST", b"a", headers=[(b"content-length", b"1")]), Client()):
                assert (await ask(client)).body == b"ok"
            assert odd.connections == 1
            together = await asyncio.gather(ask(Client()), ask(Client()))
            assert [client.status for client in together] == [200, 200] and odd.connections == 2

    run(scenario)


def test_what_says_close_or_says_no_length_ends_with_its_connection() -> None:
    async def scenario() -> None:
        said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
        for data in (said, b"HTTP/1.0 200 OK\r\n\r\nok"):
            async with proxy_before(answering(data, lambda writer: writer.close())) as (odd, ask):
                assert [(await ask(Client())).body for _ in range(2)] == [b"ok", b"ok"] and odd.connections == 2

    run(scenario)


def test_what_comes_before_the_answer_is_none() -> None:
    async def scenario() -> None:
        early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        async with proxy_before(answering(early + SHORT)) as (odd, ask):
            client = await ask(Client(headers=[(b"expect", b"100-continue")]))
            assert (client.status, client.body) == (200, b"ok") and b"expect" not in odd.seen

    run(scenario)


def test_a_head_has_no_body_whatever_length_it_says() -> None:
    async def scenario() -> None:
        async with proxy_before(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as (_, ask):
            client = await ask(Client("HEAD"))
            assert (client.status, client.body) == (200, b"")

    run(scenario)


def test_a_connection_that_ended_unseen_costs_no_request_that_may_be_sent_twice() -> None:
    async def answers(number: int, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number == 0 and head.count(b"second"):
            writer.close()  # as who has just decided to end an idle connection
            return
        writer.write(SHORT)

    async def scenario() -> None:
        async with proxy_before(answers) as (odd, ask):
            assert (await ask(Client())).status == 200
            assert (await ask(Client(path="/second"))).status == 200 and odd.connections == 2
        async with proxy_before(answers) as (odd, ask):
            assert (await ask(Client())).status == 200
            sent = Client("POST", b"a", path="/second", headers=[(b"content-length", b"1")])
            assert (await ask(sent)).status == 502 and odd.connections == 1

    run(scenario)


def test_what_asks_a_server_that_has_just_ended_waits_for_the_next_one() -> None:
    async def scenario() -> None:
        async with proxy_before(answering(SHORT)) as (odd, ask), proxy_before(answering(SHORT)) as (gone, _):
            new, looked = odd.port, 0

            async def notice() -> None:
                nonlocal looked
                looked += 1
                odd.port = new if looked > 1 else odd.port

            odd.port = closed_port()
            odd.answering_again = notice
            assert (await ask(Client())).status == 200
            assert gone.connections == 0

    run(scenario)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_client_that_leaves_before_the_answer_ends_the_request_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyte_ray.apps.proxy.WATCH_S", 0.01)
    ended = asyncio.Event()

    async def answers(number: int, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()

    async def scenario() -> None:
        async with proxy_before(answers) as (odd, ask):
            client = Client()
            asking = asyncio.ensure_future(ask(client))
            while not odd.seen:
                await asyncio.sleep(0)
            client.leaves.set()
            await asking
            await asyncio.wait_for(ended.wait(), 60)
            assert client.status == 0

    run(scenario)


def test_a_large_answer_is_read_no_faster_than_it_is_taken() -> None:
    whole = 40 * WHOLE
    sent = 0

    async def answers(number: int, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % whole)
        for _ in range(whole // WHOLE):
            writer.write(b"x" * WHOLE)
            await writer.drain()
            sent += WHOLE

    async def scenario() -> None:
        go_on = asyncio.Event()

        class Slow(Client):
            async def send(self, message: dict[str, Any]) -> None:
                await super().send(message)
                if not go_on.is_set() and message.get("body"):
                    await go_on.wait()

        async with proxy_before(answers) as (_, ask):
            client = Slow()
            asking = asyncio.ensure_future(ask(client))
            await client.got.wait()
            before = -1
            while before != sent:  # until the server can send no more
                before = sent
                await asyncio.sleep(0.2)
            assert sent < whole
            go_on.set()
            await asking
            assert len(client.body) == whole

    run(scenario)


def test_a_large_body_is_taken_no_faster_than_the_server_reads_it() -> None:
    read_on = asyncio.Event()

    async def answers(number: int, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_on.wait()
        got = 0
        while not (await reader.readline()).startswith(b"0\r\n"):
            await reader.readuntil(b"\r\n")
            got += 1
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(got)), got))

    async def scenario() -> None:
        async with proxy_before(answers) as (_, ask):
            parts = [b"x" * 60_000] * 500
            client = Client("POST", *parts, headers=[(b"transfer-encoding", b"chunked"), (b"content-length", b"7")])
            asking = asyncio.ensure_future(ask(client))
            before = -1
            while before != len(client._parts):
                before = len(client._parts)
                await asyncio.sleep(0.2)
            assert before > 0
            read_on.set()
            assert (await asking).body == b"500"

    run(scenario)


def test_an_answer_that_is_there_before_the_body_counts() -> None:
    async def scenario() -> None:
        refusing = answering(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        async with proxy_before(refusing) as (odd, ask):

            class Hesitant(Client):
                async def receive(self) -> dict[str, Any]:
                    if self._parts:
                        return {"type": "http.request", "body": self._parts.pop(), "more_body": True}
                    return await super().receive()

            client = Hesitant("POST", b"x", headers=[(b"content-length", b"1000")])
            assert (await ask(client)).status == 413
            assert (await ask(Client())).status == 413 and odd.connections == 2  # that one is not fit for another

    run(scenario)


def test_an_answer_that_breaks_off_is_no_whole_one() -> None:
    async def scenario() -> None:
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx" % (2 * WHOLE)
        async with proxy_before(answering(data, lambda writer: writer.close())) as (_, ask):
            with pytest.raises(upstream.HungUp, match="it ended the connection"):
                await ask(Client())
        async with proxy_before(answering(b"SSH-2.0-OpenSSH\r\n")) as (_, ask):
            client = await ask(Client())
            assert client.status == 502 and b"The app's server did not answer: it sent what is no HTTP" in client.body

    run(scenario)


def test_a_line_break_in_a_header_is_refused() -> None:
    async def scenario() -> None:
        async with proxy_before(answering(SHORT)) as (odd, ask):
            client = await ask(Client(headers=[(b"x-name", b"a\r\nx-admin: 1")]))
            assert client.status == 400 and b"a header or the path holds a line break" in client.body
            assert odd.connections == 0

    run(scenario)
