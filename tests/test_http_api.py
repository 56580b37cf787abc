"""The HTTP API, asked as a program would: reads, starts, events, aborts and answers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import runpy
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import flyte_ray as flyte
from flyte_ray.app.extras import HTTPAPIEnvironment
from flyte_ray.apps.auth import Guarded, Tokens
from flyte_ray.apps.http_api import MOST_BYTES
from flyte_ray.io import File
from flyte_ray.ledger.tokens import Token
from tests.inboxes import http_inbox
from tests.ray_cluster import free_port
from tests.waiting import within

until = within(60)

env = flyte.TaskEnvironment("api")


@dataclasses.dataclass
class Size:
    width: int
    height: int = 2


@env.task
def area(size: Size, times: int = 1) -> int:
    print("measuring")
    return size.width * size.height * times


@env.task
def read(file: File) -> str:
    with file.open_sync("r") as opened:
        return str(opened.read())


@env.task
def ask() -> bool:
    return flyte.new_condition("sure", "Are you sure?", timeout=60).wait()


@env.task
def ask_by_webhook(url: str) -> bool:
    hook = flyte.ConditionWebhook(url, {"text": "Sure? {callback_uri}", "deep": [{"to": "{callback_uri}"}]})
    return flyte.new_condition("sure", webhook=hook, timeout=60).wait()


@env.task
def fail() -> int:
    raise ValueError("no")


@env.task
def forbidden() -> None: ...


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the API, served by this process."""
    flyte.init(root=tmp_path_factory.mktemp("root"))
    served = HTTPAPIEnvironment(tasks=[area, read, ask, ask_by_webhook, fail], port=free_port())
    local = flyte.with_servecontext(mode="local", health_check_interval=0.05)
    with (
        local.serve(served).ephemeral_ctx_sync(),
        httpx.Client(base_url=served.endpoint, trust_env=False, timeout=60) as client,
    ):
        yield client
    flyte.init()


def start(api: httpx.Client, task: str, **inputs: Any) -> str:
    answer = api.post("/api/runs", json={"task": task, "inputs": inputs})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run"])


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]


def test_a_run_is_started_and_read(api: httpx.Client) -> None:
    run = start(api, "api.area", size={"width": 3}, times=2)
    about = api.get(f"/api/runs/{run}").json()
    assert (about["phase"], about["task"], about["actions"]) == ("succeeded", "api.area", {"succeeded": 1})
    assert about["labels"] == {"started_by": "http@http"} and about["hold"] is None
    assert about["ended_us"] > about["started_us"] and about["who"] == "http@http"
    assert about["can"] == ["rerun", "recover"] and about["uri"].endswith(f"/runs/{run}")
    assert run in [each["name"] for each in api.get("/api/runs?task=api.area&phase=succeeded").json()["runs"]]
    assert api.get("/api/runs?phase=failed&task=api.area").json()["runs"] == []
    [action] = api.get(f"/api/runs/{run}/actions").json()
    assert (action["id"], action["phase"], action["attempts"]) == ("a0", "succeeded", 1)
    whole = api.get(f"/api/runs/{run}/actions/a0").json()
    inputs = {each["name"]: each["value"] for each in whole["inputs"]}
    assert inputs == {"size": {"width": 3, "height": 2}, "times": 2}
    assert [(each["kind"], each["value"]) for each in whole["outputs"]] == [("json", 12)]
    assert [(each["attempt"], each["outcome"]) for each in whole["attempt_list"]] == [(0, "succeeded")]
    assert api.get(f"/api/runs/{run}/actions/a0/logs").json() == {"attempt": 0, "text": "measuring\n", "next": 10}
    assert api.get(f"/api/runs/{run}/actions/a0/logs/file").text == "measuring\n"


def test_events_tell_how_a_run_goes_until_its_end(api: httpx.Client) -> None:
    run = start(api, "api.area", size={"width": 1})
    with api.stream("GET", f"/api/runs/{run}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-2] == "event: end"
    assert json.loads(lines[-1].removeprefix("data: "))["phase"] == "succeeded"


def test_a_condition_is_answered_once_and_says_by_whom(api: httpx.Client) -> None:
    run = "asked"
    starting = threading.Thread(target=api.post, args=("/api/runs",), kwargs={"json": {"task": "api.ask", "name": run}})
    starting.start()  # in local mode a run goes on in the request that started it
    until = time.monotonic() + 60
    while not (found := _conditions(api, run)):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (found[0]["name"], found[0]["prompt"]) == ("sure", "Are you sure?")
    assert said(api.post(f"/api/runs/{run}/signal", json={"name": "unsure", "value": True}))[0] == 404
    assert api.post(f"/api/runs/{run}/signal", json={"name": "sure", "value": True}).status_code == 200
    starting.join()
    assert api.get(f"/api/runs/{run}/conditions").json()[0]["signalled_by"] == "http@http"
    again = said(api.post(f"/api/runs/{run}/signal", json={"name": "sure", "value": False}))
    assert again[0] == 409 and "waits no more" in again[1]
    assert said(api.post(f"/api/runs/{run}/abort", json={}))[0] == 409


def test_a_webhook_is_told_where_to_answer(api: httpx.Client) -> None:
    run = "called-back"
    with http_inbox() as inbox:
        body = {"task": "api.ask_by_webhook", "inputs": {"url": inbox.url}, "name": run}
        starting = threading.Thread(target=api.post, args=("/api/runs",), kwargs={"json": body})
        starting.start()
        until(lambda: inbox.received)
    told = inbox.received[0].content
    uri = told["deep"][0]["to"]
    assert (
        uri.startswith(f"{str(api.base_url).rstrip('/')}/api/runs/{run}/conditions/") and told["text"] == f"Sure? {uri}"
    )
    assert api.post(uri, json={"value": "no such answer"}).status_code == 400
    assert api.post(uri, json={"value": True}).json() == {"run": run, "condition": "sure", "value": True}
    starting.join(60)
    assert api.get(f"/api/runs/{run}/actions/a0").json()["outputs"][0]["value"] is True


def _conditions(api: httpx.Client, run: str) -> list[dict[str, Any]]:
    answer = api.get(f"/api/runs/{run}/conditions")
    return [each for each in answer.json() if each["phase"] == "paused"] if answer.status_code == 200 else []


def test_only_what_is_allowed_can_be_started(api: httpx.Client) -> None:
    status, sentence = said(api.post("/api/runs", json={"task": "api.forbidden"}))
    assert status == 403 and "Allowed are: api.area, api.read, api.ask, api.ask_by_webhook, api.fail." in sentence
    tasks = api.get("/api/tasks").json()
    assert [each["task"] for each in tasks] == [
        f"api.{name}" for name in ("area", "read", "ask", "ask_by_webhook", "fail")
    ]
    assert tasks[0]["inputs"]["properties"].keys() == {"size", "times"}


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "The task needs size, which is missing."),
        ({"size": {"width": 1}, "sise": 1}, "There is no input 'sise'. The task has: size, times."),
        ({"size": {"width": "wide"}}, "Input size.width: Input should be a valid integer"),
        ({"size": {"$pickle": "gASVAAAA"}}, "Input size.width: Field required"),
    ],
)
def test_inputs_that_do_not_fit_start_nothing(api: httpx.Client, inputs: dict[str, Any], sentence: str) -> None:
    status, detail = said(api.post("/api/runs", json={"task": "api.area", "inputs": inputs}))
    assert status == 400 and sentence in detail


def test_no_file_of_the_server_is_read(api: httpx.Client, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    for path in (str(secret), f"file://{secret}", f"local://{secret}", f"Dir::local://{secret}", "../secret", "run:x"):
        for file in (path, {"path": path}):
            status, detail = said(api.post("/api/runs", json={"task": "api.read", "inputs": {"file": file}}))
            assert status == 400 and "must be named by a URL such as s3://" in detail


def test_what_does_not_exist_or_cannot_be_is_said(api: httpx.Client) -> None:
    assert said(api.get("/api/runs/nobody"))[0] == 404
    run = start(api, "api.area", size={"width": 1})
    assert said(api.get(f"/api/runs/{run}/actions/a9"))[0] == 404
    assert (
        said(api.post("/api/runs", json={"task": "api.area", "name": run, "inputs": {"size": {"width": 1}}}))[0] == 409
    )
    assert api.get("/api/runs?limit=0").status_code == 422
    assert said(api.get("/api/runs/..%2F..%2Fx"))[0] in (400, 404)
    assert said(api.post("/api/runs", content=b"x" * (MOST_BYTES + 1)))[0] == 413
    pieces = (b"x" * 1_000_000 for _ in range(MOST_BYTES // 1_000_000 + 1))
    assert said(api.post("/api/runs", content=pieces))[0] == 413
    assert "/api/runs/{run}/events" in api.get("/openapi.json").json()["paths"]


def test_a_failed_run_is_read_without_its_pickle(api: httpx.Client) -> None:
    run = start(api, "api.fail")
    about = api.get(f"/api/runs/{run}/actions/a0").json()
    assert about["phase"] == "failed" and about["error"]["code"] == "ValueError" and about["outputs"] == []
    assert about["error"]["message"] == "no" and "original" not in about["error"]
    assert [(each["attempt"], each["error"]) for each in about["attempt_list"]] == [(0, "ValueError: no")]


def test_reading_and_writing_ask_for_different_scopes() -> None:
    served = HTTPAPIEnvironment()
    tokens = {name: Token(name, name, (name,), "", 0, "") for name in ("api:read", "api:write", "app:api")}

    async def main() -> list[list[int]]:
        transport = httpx.ASGITransport(Guarded(served.asgi, Tokens(tokens.get), served.scope_of))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            found = []
            for name in tokens:
                headers = {"Authorization": f"Bearer {name}"}
                read = await client.get("/api/tasks", headers=headers)
                write = await client.post("/api/runs", json={"task": "x"}, headers=headers)
                found.append([read.status_code, "lacks" not in write.text])
            return found

    assert asyncio.run(main()) == [[200, False], [200, True], [403, False]]


def test_the_ready_file_declares_it() -> None:
    file = Path(__file__).parents[1] / "serve" / "api.py"
    assert isinstance(runpy.run_path(str(file))["env"], HTTPAPIEnvironment)
