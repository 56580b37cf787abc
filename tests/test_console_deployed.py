"""Deployed tasks and triggers over the console's HTTP API: read, started, switched, and by whom."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.apps.http_api import build_api
from flyte_ray.console.building import build_console
from flyte_ray.ledger.tokens import create_token
from flyte_ray.ledger.triggers import Fired, load_trigger, put_fired
from flyte_ray.storage import Store, open_store
from tests import console_deployed
from tests.asgi_client import Client
from tests.test_console_acting import ended

TASK = "reports.report"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    root = tmp_path_factory.mktemp("root")
    flyte.init(root=root)
    console_deployed.deploy(tmp_path_factory.mktemp("project"))
    yield open_store(root)
    flyte.init()


@pytest.fixture(scope="module")
def console(store: Store) -> Client:
    return Client(build_console(ask_token=True), headers={"Authorization": f"Bearer {token(store, 'api:write')}"})


def token(store: Store, *scopes: str) -> str:
    return create_token(store, "ann", scopes, random=os.urandom, at_us=1, by="test")[0]


def triggers(console: Client) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in console.get("/api/triggers").json()["triggers"]}


def test_versions_say_what_they_changed_of_the_interface_and_what_a_run_takes(console: Client) -> None:
    assert [each["task"] for each in console.get("/api/deployed").json()] == [TASK, "reports.total"]
    new, old = console.get(f"/api/deployed/{TASK}").json()
    assert "tags: list[str] = [] added" in new["changed"] and "factor: default 1.0 -> 2.0" in new["changed"]
    assert old["changed"] == "first" and old["interface"] == "(city: str, day: datetime, factor: float = 1.0) -> str"
    assert new["inputs"]["required"] == old["inputs"]["required"] == ["city", "day"]
    assert new["docs"] == "Write what was sold in a city on a day." and new["by"]


@pytest.mark.parametrize("name", ["reports.reprot", "..", "...", "%2e%2e", "a%2F..%2Fb"])
def test_a_name_that_is_none_is_not_found(console: Client, name: str) -> None:
    assert console.get(f"/api/deployed/{name}").status_code == 404
    assert console.post(f"/api/triggers/{name}/nightly/activate").status_code == 404
    assert console.post("/api/runs", json={"task": name}).status_code == 404


def test_a_deployed_task_is_started_in_the_version_that_was_chosen(console: Client) -> None:
    old = console.get(f"/api/deployed/{TASK}").json()[-1]["version"]
    day = {"city": "Bern", "day": "2026-01-02T03:04:05"}
    for name, more, said in (
        ("before", {"version": old}, "Bern 2026-01-02 1.0"),
        ("now", {"inputs": {**day, "form": "long", "limits": {"low": 0.5}}}, "Bern 2026-01-02 2.0 long 1.0 []"),
    ):
        answer = console.post("/api/runs", json={"task": TASK, "name": name, "inputs": day, **more})
        assert (answer.status_code, answer.json()) == (201, {"run": name})
        assert ended(console, name)["labels"]["started_by"] == "ann@http"
        assert console.get(f"/api/runs/{name}/actions/a0").json()["outputs"][0]["value"] == said
    assert console.post("/api/runs", json={"task": TASK, "name": "now", "inputs": day}).status_code == 409


def test_what_cannot_be_started_says_why(console: Client) -> None:
    for asked, status, words in (
        ({"task": TASK, "inputs": {"city": "Bern"}}, 400, "The task needs day"),
        ({"task": TASK, "inputs": {"city": "Bern", "day": "soon"}}, 400, "Input day: "),
        ({"task": TASK, "version": "v9"}, 404, "in version 'v9'"),
        ({"task": "reports.reprot"}, 404, "should hold a deployed task"),
    ):
        answer = console.post("/api/runs", json=asked)
        assert answer.status_code == status and words in answer.json()["detail"]


def test_an_api_that_does_not_offer_deployed_tasks_starts_none(store: Store) -> None:
    for version, said in (
        ({}, f"Task '{TASK}' may not"),
        ({"version": "v1"}, f"Task '{TASK}' in version 'v1' may not"),
    ):
        answer = Client(build_api()).post("/api/runs", json={"task": TASK, **version})
        assert answer.status_code == 403 and answer.json()["detail"].startswith(f"{said} be started here.")


def test_a_trigger_tells_its_fires_and_is_switched(console: Client, store: Store) -> None:
    record = load_trigger(store, TASK, "nightly")
    put_fired(store, record, Fired(last_us=1_000_000, last_run="nightly-x", skipped=2, error="ValueError: no"))
    found = triggers(console)
    assert list(found) == ["by-hand", "hourly", "nightly"]
    nightly = found["nightly"]
    assert len(nightly["next_us"]) == 5 and nightly["next_us"] == sorted(nightly["next_us"])
    assert (nightly["last_us"], nightly["last_run"], nightly["skipped"]) == (1_000_000, "nightly-x", 2)
    assert (nightly["fires"], nightly["error"]) == ("CRON_TZ=Europe/Zurich 30 2 * * *", "ValueError: no")
    assert found["hourly"]["next_us"] == [] and found["by-hand"]["fires"] == "on demand"
    done = console.post(f"/api/triggers/{TASK}/hourly/activate").json()
    assert done["active"] and done["next_us"] and done["by"] == "ann@http"
    assert not console.post(f"/api/triggers/{TASK}/hourly/deactivate").json()["active"]
    assert console.post(f"/api/triggers/{TASK}/weekly/activate").status_code == 404


def test_who_may_read_switches_and_starts_nothing_and_no_other_site_does(console: Client, store: Store) -> None:
    reader = Client(build_console(ask_token=True), headers={"Authorization": f"Bearer {token(store, 'api:read')}"})
    assert reader.get("/api/triggers").status_code == 200
    assert reader.post(f"/api/triggers/{TASK}/nightly/deactivate").status_code == 403
    assert reader.post("/api/runs", json={"task": TASK}).status_code == 403
    elsewhere = {"Origin": "https://elsewhere.example"}
    assert console.post(f"/api/triggers/{TASK}/nightly/deactivate", headers=elsewhere).status_code == 403
    assert triggers(console)["nightly"]["active"]


def test_openapi_describes_tasks_and_triggers(console: Client) -> None:
    paths = console.get("/openapi.json").json()["paths"]
    assert {"/api/deployed", "/api/deployed/{task}", "/api/triggers"} <= paths.keys()
    assert "post" in paths["/api/triggers/{task}/{name}/activate"]
