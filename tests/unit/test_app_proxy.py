"""Requests through the proxy before a command: as they are, both ways, however they end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import flyte_ray as flyte
from flyte_ray.app.extras import FastAPIAppEnvironment
from flyte_ray.apps.proxy import Proxy
from flyte_ray.apps.upstream import WHOLE
from tests.ray_cluster import free_port

app = FastAPI()
ended = threading.Event()


@app.api_route("/echo/{path:path}", methods=["GET", "POST", "HEAD"])
async def echo(request: Request) -> Response:
    body = await request.body()
    shown = {
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.url.query,
        "headers": [[name, value] for name, value in request.headers.items()],
        "body": body.decode(),
    }
    return Response(str(shown), headers={"x-seen": "1"})


@app.get("/large")
async def large() -> Response:
    return PlainTextResponse("x" * (WHOLE + 1))


@app.get("/redirect")
async def redirect() -> Response:
    return RedirectResponse("/elsewhere")


@app.get("/compressed")
async def compressed() -> Response:
    return Response(b"not really", headers={"content-encoding": "gzip"})


@app.get("/cookies")
async def cookies() -> Response:
    response = PlainTextResponse("ok")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@app.get("/events")
async def events() -> StreamingResponse:
    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield f"data: {time.monotonic()}\n\n"
                await asyncio.sleep(0.05)
        finally:
            ended.set()

    return StreamingResponse(endless(), media_type="text/event-stream")


@app.post("/length")
async def length(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@app.websocket("/ws")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="chat" if "chat" in websocket.scope["subprotocols"] else None)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            ended.set()
            return
        if message.get("text") == "leave":
            await websocket.close(4001)
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"] + "!")
        else:
            await websocket.send_bytes(message["bytes"] + b"!")


class Here:
    """The server behind, on a port of this machine."""

    def __init__(self, port: int, answers: bool = True) -> None:
        self.port, self.answers = port, answers

    async def answering(self, limit_s: float) -> bool:
        return self.answers


@pytest.fixture(scope="module")
def front() -> Iterator[str]:
    """The URL of the proxy before the app."""
    local = flyte.with_servecontext(mode="local", health_check_interval=0.05)
    behind = FastAPIAppEnvironment("behind", app=app, port=free_port())
    proxy = Proxy(Here(behind.port.port))
    before = FastAPIAppEnvironment("before", app=proxy, port=free_port())
    before.on_shutdown(proxy.close)
    with local.serve(behind).ephemeral_ctx_sync(), local.serve(before).ephemeral_ctx_sync():
        yield f"http://127.0.0.1:{before.port.port}"


@pytest.fixture
def client(front: str) -> Iterator[httpx.Client]:
    ended.clear()
    with httpx.Client(base_url=front, trust_env=False, timeout=30) as made:
        yield made


def test_a_request_reaches_the_server_as_it_was_sent(client: httpx.Client) -> None:
    answer = client.post("/echo/a%2Fb%20c?x=1&y=%26", content="body", headers={"x-my": "1", "te": "trailers"})
    seen = eval(answer.text)
    assert (seen["method"], seen["path"]) == ("POST", "/echo/a%2Fb%20c")
    assert (seen["query"], seen["body"]) == ("x=1&y=%26", "body")
    headers = dict(seen["headers"])
    assert headers["x-my"] == "1" and headers["host"] == client.base_url.netloc.decode()
    assert headers["x-forwarded-for"] == "127.0.0.1" and headers["x-forwarded-proto"] == "http"
    assert "te" not in headers and headers["user-agent"].startswith("python-httpx")
    assert answer.headers["x-seen"] == "1"


def test_answers_pass_as_they_are(client: httpx.Client) -> None:
    assert (client.get("/redirect").status_code, client.get("/redirect").headers["location"]) == (307, "/elsewhere")
    with client.stream("GET", "/compressed") as answer:
        assert b"".join(answer.iter_raw()) == b"not really"
    cookies = client.get("/cookies").headers.get_list("set-cookie")
    assert [each.partition(";")[0] for each in cookies] == ["a=1", "b=2"]
    assert len(client.get("/large").text) == WHOLE + 1
    assert client.get("/nowhere").status_code == 404
    assert client.head("/echo/x").status_code == 200


def test_a_body_without_a_length_is_streamed(client: httpx.Client) -> None:
    assert client.post("/length", content=(b"x" * 1000 for _ in range(1000))).json() == 1_000_000


def test_events_arrive_as_they_are_sent_and_end_with_the_client(client: httpx.Client) -> None:
    with client.stream("GET", "/events") as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert [next(lines).partition(":")[0] for _ in range(3)] == ["data"] * 3
    assert ended.wait(30)


def test_websockets_pass_text_and_bytes_both_ways(front: str) -> None:
    url = front.replace("http", "ws") + "/ws"
    ended.clear()
    with connect(url, subprotocols=["chat"], max_size=None) as websocket:  # type: ignore[list-item]
        assert websocket.subprotocol == "chat"
        websocket.send("a")
        assert websocket.recv() == "a!"
        websocket.send(b"a" * 2_000_000)
        assert len(websocket.recv()) == 2_000_001
    assert ended.wait(30)
    with connect(url) as websocket:
        websocket.send("leave")
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 4001
    with pytest.raises(InvalidStatus):
        connect(front.replace("http", "ws") + "/nowhere")


def ask(proxy: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(proxy), base_url="http://app") as client:
            answer = await client.get("/")
        await proxy.close()
        return answer

    return asyncio.run(asked())


def test_a_browser_is_sent_to_the_address_below_which_a_page_finds_its_parts() -> None:
    async def asked(path: str, accept: str) -> httpx.Response:
        proxy = Proxy(Here(1))
        transport = httpx.ASGITransport(proxy, root_path="/apps/board")
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answer = await client.get(path, headers={"accept": accept})
        await proxy.close()
        return answer

    sent = asyncio.run(asked("/apps/board?a=1", "text/html,*/*"))
    assert (sent.status_code, sent.headers["location"]) == (307, "board/?a=1")
    assert asyncio.run(asked("/apps/board", "*/*")).status_code == 502  # nobody listens on that port


def test_a_server_that_is_away_is_503_and_one_that_hangs_up_502() -> None:
    away = ask(Proxy(Here(1, answers=False)))
    assert (away.status_code, away.json()["detail"]) == (503, "The app's server does not answer. Try again.")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert ask(Proxy(Here(listener.getsockname()[1]))).status_code == 502
        thread.join()
