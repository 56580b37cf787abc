"""What a replica runs, without Serve around it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import flyte_ray as flyte
from flyte_ray.app import AppEnvironment
from flyte_ray.apps import context, reference
from flyte_ray.apps.deploying import plan
from flyte_ray.apps.local import Patience
from flyte_ray.apps.replica import Replica
from flyte_ray.apps.serving import Server
from flyte_ray.errors import CodeBundleError, DeploymentError
from flyte_ray.ledger.apps import add_revision, put_address
from flyte_ray.ledger.tokens import create_token
from flyte_ray.storage import open_store
from tests import served_apps


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """A replica takes its whole process, which these tests share."""
    environ, path = dict(os.environ), list(sys.path)
    yield
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:] = path
    context._alone.clear()


def replica_of(env: AppEnvironment, root: Path, **changes: Any) -> Replica:
    flyte.init(root=root)
    record = plan(open_store(root), env, parameters={}, env_vars={}, patience=Patience(activate_s=30), **changes)
    return Replica(dataclasses.asdict(record), open_store(root).uri, {})


def within(replica: Replica, use: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Begin a replica as Serve does, ask it, and end it."""
    sent: list[dict[str, Any]] = []

    async def main() -> None:
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await replica.start()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        serving = asyncio.ensure_future(replica({"type": "lifespan"}, inbox.get, send))
        await inbox.put({"type": "lifespan.startup"})
        try:
            transport = httpx.ASGITransport(replica)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                await use(client)
        finally:
            await inbox.put({"type": "lifespan.shutdown"})
            await serving

    asyncio.run(main())
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_an_asgi_app_is_found_by_its_name_and_served_to_who_has_a_token(tmp_path: Path) -> None:
    replica = replica_of(served_apps.shop, tmp_path)
    token, _ = create_token(open_store(tmp_path), "t", ["app:shop"], random=os.urandom, at_us=1, by="me")
    os.environ["COLOUR"] = "red"  # Ray sets what is declared

    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.get("/about")).status_code == 401
        said = (await client.get("/about", headers={"Authorization": f"Bearer {token}"})).json()
        assert (said["model"], said["mode"]) == (["first"] * 3, "remote")

    within(replica, use)


def test_a_command_is_asked_through_a_proxy(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.post("/", content="abc")).text.endswith(" abc")

    within(replica_of(served_apps.files, tmp_path), use)


def test_a_server_function_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.get("/")).status_code == 426  # it speaks WebSocket alone

    within(replica_of(served_apps.echo, tmp_path), use)


def test_a_handle_asks_without_a_token_and_gets_the_whole_answer(tmp_path: Path) -> None:
    os.environ["COLOUR"] = "red"
    shop, files = replica_of(served_apps.shop, tmp_path), replica_of(served_apps.files, tmp_path)

    async def use_shop(client: httpx.AsyncClient) -> None:
        answer = await shop.request("get", "/about?x=1", {"accept": "*/*"}, b"")
        assert answer["status"] == 200 and json.loads(answer["body"])["colour"] == "red"
        assert ("content-type", "application/json") in answer["headers"]
        assert (await shop.request("GET", "/events", {}, b""))["body"].count(b"data:") == 3
        assert (await shop.request("GET", "/nowhere", {}, b""))["status"] == 404

    async def use_files(client: httpx.AsyncClient) -> None:
        assert (await files.request("POST", "/", {}, b"abc"))["body"].endswith(b" abc")

    within(shop, use_shop)
    within(files, use_files)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"its code failed:(.|\n)*in fail(.|\n)*model.pkl"):
        asyncio.run(replica_of(served_apps.failing, tmp_path).start())
    with pytest.raises(DeploymentError, match=r"ended with exit code 3; its last lines:\n    no model here"):
        asyncio.run(replica_of(served_apps.broken, tmp_path).start())


def test_an_app_that_is_in_no_file_cannot_be_found_by_a_replica(tmp_path: Path) -> None:
    with pytest.raises(CodeBundleError, match="App 'inside' should be a variable at the top level of a file"):
        replica_of(AppEnvironment("inside", command="sleep 1"), tmp_path)


def test_an_app_of_a_notebook_is_told_how_it_can_be_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = AppEnvironment("cell", command="sleep 1")
    env.spec = dataclasses.replace(env.spec, declaring_file=f"{tmp_path}/ipykernel_1/2.py")  # no file lies there
    monkeypatch.setattr(sys.modules["__main__"], "env", env, raising=False)
    with pytest.raises(CodeBundleError, match="cell by %%writefile, .* As it is, flyte.with_servecontext"):
        replica_of(env, tmp_path)


def test_a_command_does_not_take_over_what_a_cluster_serves_for_good(tmp_path: Path) -> None:
    flyte.init(root=tmp_path)
    store = open_store(tmp_path)
    add_revision(store, plan(store, served_apps.shop, parameters={}, env_vars={}, patience=Patience()))
    put_address(store, "shop", "http://10.0.0.1:8000/apps/shop", "10.0.0.1:6379")
    with pytest.raises(DeploymentError, match="served by the cluster at 10.0.0.1:6379, and would be no more when this"):
        Server(mode="remote", lasting=False).serve(served_apps.shop)


def test_the_file_of_an_app_must_not_serve_it_while_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "_loading", ["shop"])
    with pytest.raises(DeploymentError, match="A replica of app 'shop' imports its file, which calls flyte.serve"):
        flyte.serve(served_apps.shop)
