"""Apps that the tests serve on a cluster."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

import flyte_ray as flyte
from flyte_ray.app import AppEnvironment, Domain, Parameter, Scaling
from flyte_ray.app.extras import FastAPIAppEnvironment

tasks = flyte.TaskEnvironment("counting")


@tasks.task
def double(x: int) -> int:
    return 2 * x


api = FastAPI()
shop = FastAPIAppEnvironment(
    "shop",
    app=api,
    resources=flyte.Resources(cpu=0.2),
    env_vars={"COLOUR": "red"},
    parameters=[Parameter("model", value="first", env_var="MODEL")],
    scaling=Scaling(1),
)


@shop.on_startup
async def load(model: str) -> None:
    api.state.loaded = model


@api.get("/about")
async def about() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "colour": os.environ["COLOUR"],
        "model": [api.state.loaded, os.environ["MODEL"], flyte.app.get_parameter("model")],
        "mode": flyte.app.ctx().mode,
    }


@api.get("/events")
async def events() -> StreamingResponse:
    async def three() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(three(), media_type="text/event-stream")


@api.websocket("/ws")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text() + "!")


HTTP_SERVER = """
import http.server, os, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = b"%d %s %s" % (os.getpid(), os.environ["PORT"].encode(), body)
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
files = AppEnvironment(
    "files",
    command=[sys.executable, "-c", HTTP_SERVER, "{port}"],
    resources=flyte.Resources(cpu=0.2),
    requires_auth=False,
    domain=Domain(subdomain="archive"),
    scaling=Scaling(1),
)

tasks.add_dependency(files)
echo = AppEnvironment("echo", resources=flyte.Resources(cpu=0.2), requires_auth=False, scaling=Scaling(1))


@echo.server
async def serve_echo() -> None:
    from websockets.asyncio.server import serve

    async with serve(_answer, "127.0.0.1", echo.get_port().port) as server:
        await server.serve_forever()


async def _answer(websocket: object) -> None:
    async for message in websocket:  # type: ignore[attr-defined]
        await websocket.send(f"{message}?")  # type: ignore[attr-defined]


@tasks.task
async def ask_files() -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return (await client.get(files.endpoint)).status_code


runner_api = FastAPI()
runner = FastAPIAppEnvironment(
    "runner", app=runner_api, resources=flyte.Resources(cpu=0.2), requires_auth=False, scaling=Scaling(1)
)


@runner_api.get("/double")
async def double_by_a_run(x: int) -> int:
    run = await flyte.run.aio(double, x=x)
    return int((await run.outputs.aio())[0])


busy_api = FastAPI()
busy = FastAPIAppEnvironment(
    "busy",
    app=busy_api,
    resources=flyte.Resources(cpu=0.1),
    requires_auth=False,
    scaling=Scaling((0, 3), Scaling.Concurrency(1), scaledown_after=1),
)


@busy_api.get("/")
async def work() -> int:
    await asyncio.sleep(0.5)
    return os.getpid()


rated = busy.clone_with("rated", scaling=Scaling((1, 2), Scaling.RequestRate(2)))

board = AppEnvironment(
    "board",
    command=f"{sys.executable} -m streamlit run tests/board.py --server.port {{port}}",
    args="--server.address 127.0.0.1 --server.headless true --browser.gatherUsageStats false",
    env_vars={"OWNER": "the tests"},
    include=["board.py"],
    resources=flyte.Resources(cpu=0.2),
    requires_auth=False,
    scaling=Scaling(1),
)

broken = AppEnvironment(
    "broken",
    command=[sys.executable, "-c", "print('no model here'); exit(3)"],
    resources=flyte.Resources(cpu=0.2),
    requires_auth=False,
    scaling=Scaling(1),
)
huge = broken.clone_with("huge", resources=flyte.Resources(cpu=1000))
failing = FastAPIAppEnvironment(
    "failing", app=FastAPI(), resources=flyte.Resources(cpu=0.2), requires_auth=False, scaling=Scaling(1)
)


@failing.on_startup
def fail() -> None:
    raise FileNotFoundError("model.pkl")
