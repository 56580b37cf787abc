"""Apps in the user's own process, as a user's tests would use them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import flyte_ray as flyte
from flyte_ray.app import AppEndpoint, AppEnvironment, Parameter
from flyte_ray.app.extras import FastAPIAppEnvironment
from flyte_ray.errors import DeploymentError, InvalidDeclaration, ParameterMaterializationError, UnsupportedError
from flyte_ray.runtime.offspring import process_at
from tests.ray_cluster import free_port

FILES = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
local = flyte.with_servecontext(mode="local", health_check_interval=0.05)


def get(url: str) -> Any:
    return httpx.get(url, trust_env=False, timeout=60).raise_for_status().json()


def test_a_fastapi_app_is_served_switched_off_and_on() -> None:
    app = FastAPI()
    calls: list[str] = []
    env = FastAPIAppEnvironment("greeting", app=app, port=free_port(), parameters=[Parameter("name", value="you")])

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": flyte.app.get_parameter("name"), "mode": flyte.app.ctx().mode}

    @env.on_startup
    async def begin(name: str) -> None:
        calls.append(f"begin {name}")

    @env.on_shutdown
    def end() -> None:
        calls.append("end")

    handle = local.serve(env)
    assert isinstance(handle, flyte.AppHandle)
    assert (handle.name, handle.endpoint) == ("greeting", env.endpoint) and handle.is_active()
    assert get(f"{env.endpoint}/hello") == {"hello": "you", "mode": "local"}
    assert calls == ["begin you"]
    handle.deactivate()
    assert calls == ["begin you", "end"] and handle.is_deactivated()
    with pytest.raises(DeploymentError, match="App 'greeting' should be served before its endpoint is asked for"):
        _ = env.endpoint
    with handle.ephemeral_ctx_sync():
        assert get(f"{handle.endpoint}/hello")["hello"] == "you"
    assert handle.is_deactivated() and not handle.is_active()


def test_an_app_may_be_served_within_async_code() -> None:
    begun: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        begun.append("lifespan")
        yield

    env = FastAPIAppEnvironment("async", app=FastAPI(lifespan=lifespan), port=free_port())

    async def main() -> int:
        handle = await local.serve.aio(env)
        async with handle.ephemeral_ctx(), httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return (await client.get(f"{env.endpoint}/docs")).status_code

    assert asyncio.run(main()) == 200
    assert begun == ["lifespan"]


def test_an_asgi_app_without_a_lifespan_has_its_functions_called() -> None:
    calls: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"7"})

    env = FastAPIAppEnvironment("plain", app=app, port=free_port())
    env.on_startup(lambda: calls.append("begin"))
    env.on_shutdown(lambda: calls.append("end"))
    with local.serve(env).ephemeral_ctx_sync():
        assert get(env.endpoint) == 7
    assert calls == ["begin", "end"]


def test_a_command_is_started_and_ended_with_all_that_it_started(tmp_path: Path) -> None:
    (tmp_path / "answer.json").write_text("42")
    shell = f"sleep 1000 & echo $! > {tmp_path}/sleeper; exec {' '.join(FILES)} --directory {tmp_path}"
    env = AppEnvironment("files", command=["sh", "-c", shell], port=free_port())
    with local.serve(env).ephemeral_ctx_sync():
        assert get(f"{env.endpoint}/answer.json") == 42
        sleeper = process_at(int((tmp_path / "sleeper").read_text()))
        assert sleeper is not None and sleeper.lives()
    assert not sleeper.lives()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{env.port.port}", trust_env=False, timeout=60)


def test_a_command_gets_its_port_its_variables_and_its_parameters(tmp_path: Path) -> None:
    code = f"""
import os, flyte_ray.app, http.server, pathlib
told = [os.environ["PORT"], os.environ["MODEL"], os.environ["A"], flyte_ray.app.get_parameter("model")]
pathlib.Path({str(tmp_path / "told")!r}).write_text(" ".join(told))
http.server.test(port=int(os.environ["PORT"]), bind="127.0.0.1")
"""
    env = AppEnvironment(
        "told",
        args=[sys.executable, "-c", code],
        port=free_port(),
        env_vars={"A": "declared"},
        parameters=[Parameter("model", value="declared", env_var="MODEL")],
    )
    server = flyte.with_servecontext(
        mode="local", env_vars={"A": "given"}, parameter_values={"told": {"model": "given"}}
    )
    with server.serve(env).ephemeral_ctx_sync():
        assert (tmp_path / "told").read_text() == f"{env.port.port} given given given"


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_server_function_runs_between_its_hooks_until_it_is_ended(kind: str) -> None:
    env = AppEnvironment("own", port=free_port(), env_vars={"FLYTE_RAY_TEST": "x"})
    calls: list[str] = []
    env.on_startup(lambda: calls.append(os.environ["FLYTE_RAY_TEST"]))
    env.on_shutdown(lambda: calls.append("end"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n7")
        await writer.drain()
        writer.close()

    async def serve() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", env.get_port().port) as server:
            await server.serve_forever()

    def serve_sync() -> None:
        asyncio.run(serve())

    env.server(serve if kind == "async" else serve_sync)
    handle = local.serve(env)
    assert get(env.endpoint) == 7
    handle.deactivate()
    assert calls == ["x", "end"]
    assert "FLYTE_RAY_TEST" not in os.environ


def test_an_app_finds_another_one_by_its_name(tmp_path: Path) -> None:
    files = AppEnvironment("files", command=FILES, port=free_port())
    asking = FastAPIAppEnvironment(
        "asking", app=FastAPI(), port=free_port(), parameters=[Parameter("files", value=AppEndpoint(app_name="files"))]
    )
    found: list[str] = []

    @asking.on_startup
    def look(files: str) -> None:
        found.append(files)

    with pytest.raises(ParameterMaterializationError, match="App 'asking', parameter 'files': App 'files' should be"):
        local.serve(asking)
    with local.serve(files).ephemeral_ctx_sync(), local.serve(asking).ephemeral_ctx_sync():
        assert found == [files.endpoint]


def test_an_app_is_given_its_secrets_and_not_served_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import os; open('got', 'w').write(os.environ['TOKEN'] + os.environ['A_B']); exit(3)"
    secrets: list[str | flyte.Secret] = [flyte.Secret("api-key", as_env_var="TOKEN"), flyte.Secret("b", group="a")]
    env = AppEnvironment("asking", command=[sys.executable, "-c", code], port=free_port(), secrets=secrets)
    with pytest.raises(DeploymentError, match="App 'asking' asks for the secret 'api-key', which was not found in"):
        local.serve(env)
    (tmp_path / ".env").write_text("API_KEY=x\nA_B=y\n")
    with pytest.raises(DeploymentError, match="ended with exit code 3"):
        local.serve(env)
    assert (tmp_path / "got").read_text() == "xy" and "TOKEN" not in os.environ
    with pytest.raises(TypeError, match="secrets must be a key, a Secret or a list of them, got int"):
        AppEnvironment("wrong", command=FILES, secrets=3)  # type: ignore[arg-type]


def test_a_command_that_ends_at_once_is_shown_with_its_last_lines() -> None:
    env = AppEnvironment("broken", command=[sys.executable, "-c", "print('no model'); exit(3)"], port=free_port())
    with pytest.raises(DeploymentError) as caught:
        local.serve(env)
    assert "App 'broken' should answer at http://localhost:" in str(caught.value)
    assert str(caught.value).endswith("ended with exit code 3; its last lines:\n    no model")
    missing = AppEnvironment("missing", command="no-such-program", port=free_port())
    with pytest.raises(DeploymentError, match="The command 'no-such-program' should start, but: .*No such file"):
        local.serve(missing)


def test_a_server_that_never_answers_is_ended() -> None:
    env = AppEnvironment("silent", command="sleep 1000", port=free_port())
    with pytest.raises(DeploymentError, match="but nothing answered within 0.3 s. Does it listen on that port?"):
        flyte.with_servecontext(mode="local", activate_timeout=0.3).serve(env)


def test_a_function_that_fails_shows_the_users_traceback() -> None:
    env = FastAPIAppEnvironment("failing", app=FastAPI(), port=free_port())

    @env.on_startup
    def load() -> None:
        raise FileNotFoundError("model.pkl")

    with pytest.raises(DeploymentError, match=r"its code failed:(.|\n)*in load(.|\n)*FileNotFoundError: model.pkl"):
        local.serve(env)
    served = AppEnvironment("returning", port=free_port())
    served.server(lambda: None)
    with pytest.raises(DeploymentError, match="but its server returned"):
        local.serve(served)


def test_a_taken_port_and_a_second_serving_are_refused() -> None:
    first = AppEnvironment("first", command=FILES, port=free_port())
    second = AppEnvironment("second", command=FILES, port=first.port)
    with local.serve(first).ephemeral_ctx_sync():
        with pytest.raises(DeploymentError, match="should listen on port .+, but: Address already in use. End what"):
            local.serve(second)
        with pytest.raises(DeploymentError, match="App 'first' is served by this process already, at http"):
            local.serve(first)


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(TypeError, match="flyte.serve expects a flyte.app.AppEnvironment, got 3"):
        flyte.serve(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidDeclaration, match="App 'empty' should have a process, got none"):
        local.serve(AppEnvironment("empty"))
    env = AppEnvironment("asking", command=FILES, parameters=[Parameter("model")])
    with pytest.raises(ParameterMaterializationError, match="parameter 'model' has no value. Declare one, or give it"):
        local.serve(env)
    with pytest.raises(ParameterMaterializationError, match="has no parameter 'modell'. It has: model."):
        flyte.with_servecontext(mode="local", parameter_values={"asking": {"modell": "x"}}).serve(env)
    with pytest.raises(UnsupportedError, match="mode must be 'local' or 'remote', got 'hybrid'"):
        flyte.with_servecontext(mode="hybrid")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="flyte.with_servecontext has no setting 'colour'"):
        flyte.with_servecontext(colour="red")
    with pytest.raises(ParameterMaterializationError, match="expects the name of a parameter of this app, got 'x'"):
        flyte.app.get_parameter("x")
