"""Who may see a root in the console, who may change something, and from where."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

import flyte_ray as flyte
from benchmarks.console import make_run
from flyte_ray.app.extras import ConsoleEnvironment
from flyte_ray.console.building import build_console
from flyte_ray.console.guard import COOKIE, HOST_COOKIE
from flyte_ray.ledger.apps import CONSOLE, put_address
from flyte_ray.ledger.tokens import create_token
from flyte_ray.storage import Store, open_store
from tests.asgi_client import Client

HERE = "http://127.0.0.1:8088"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    flyte.init(root=tmp_path)
    store = open_store(tmp_path)
    make_run(store, "r", 3, 1_000_000)
    yield store
    flyte.init()


def token(store: Store, *scopes: str) -> str:
    return create_token(store, "ann", scopes, random=os.urandom, at_us=1, by="test")[0]


def test_by_tls_the_cookie_is_of_the_console_s_own_host_and_below_a_path_of_that_path(store: Store) -> None:
    told = token(store, "api:read")
    console = Client(build_console(ask_token=True), base="https://console.example")
    cookie = console.post("/login", json={"token": told}).headers["set-cookie"]
    assert cookie.startswith(f"{HOST_COOKIE}=") and "Secure" in cookie and "Path=/;" in cookie
    assert console.get("/api/runs/r").status_code == 200
    serve = FastAPI()
    serve.mount("/console", build_console(ask_token=True))
    below = Client(serve)
    cookie = below.post("/console/login", json={"token": told}).headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=") and "Path=/console;" in cookie and "SameSite=strict" in cookie


def test_a_page_is_shown_to_everybody_and_data_to_who_has_a_token(store: Store) -> None:
    console = Client(build_console(ask_token=True))
    assert console.get("/").status_code == 200
    assert console.get("/api/session").json() == {
        "token_needed": True,
        "who": None,
        "can_read": False,
        "can_write": False,
    }
    for path in ("/api/runs", "/api/runs/r/table", "/openapi.json"):
        assert console.get(path).status_code == 401
    told = token(store, "api:read")
    assert console.get("/api/runs", headers={"Authorization": f"Bearer {told}"}).status_code == 200


def test_who_logs_in_has_a_cookie_that_no_script_can_read(store: Store) -> None:
    console = Client(build_console(ask_token=True))
    assert console.post("/login", json={"token": "frt_wrong"}).status_code == 401
    answer = console.post("/login", json={"token": token(store, "api:read")}, headers={"Origin": HERE})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(COOKIE) and "httponly" in cookie and "samesite=strict" in cookie
    assert console.get("/api/runs/r").json()["name"] == "r"
    assert console.get("/api/session").json()["who"] == "ann@http"
    refused = console.post("/api/runs/r/abort", json={}, headers={"Origin": HERE})
    assert (refused.status_code, refused.json()["detail"]) == (403, "The token lacks the scope api:write.")
    console.post("/logout")
    assert console.get("/api/runs/r").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": HERE}, 409),  # let through: the run has ended
        ({"Sec-Fetch-Site": "same-origin"}, 409),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": HERE, "Sec-Fetch-Site": "cross-site"}, 403),
        ({}, 403),  # with a cookie a browser says from where
    ],
)
def test_another_site_changes_nothing_with_a_person_s_cookie(
    store: Store, headers: dict[str, str], status: int
) -> None:
    console = Client(build_console(ask_token=True))
    console.post("/login", json={"token": token(store, "api:write")}, headers={"Origin": HERE})
    assert console.post("/api/runs/r/abort", json={}, headers=headers).status_code == status


def test_a_program_with_its_own_token_needs_no_origin(store: Store) -> None:
    console = Client(build_console(ask_token=True))
    headers = {"Authorization": f"Bearer {token(store, 'api:write')}"}
    assert console.post("/api/runs/r/abort", json={}, headers=headers).status_code == 409


def test_without_tokens_it_answers_by_this_machine_s_names_only(store: Store) -> None:
    app = build_console()
    assert Client(app, "http://localhost:1234").get("/api/runs").status_code == 200
    assert Client(app, "http://[::1]:1234").get("/api/runs").status_code == 200
    refused = Client(app, "http://rebound.example:1234").get("/api/runs")
    assert refused.status_code == 403 and "Open it by one of these names" in refused.json()["detail"]
    assert Client(app).post("/api/runs/r/abort", json={}, headers={"Origin": "http://other"}).status_code == 403


def test_answers_say_that_nothing_else_is_to_be_made_of_them(store: Store) -> None:
    answer = Client(build_console()).get("/api/runs")
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert Client(build_console()).get("/docs").status_code == 404  # it would load scripts from elsewhere


def test_a_run_s_link_leads_to_the_console_that_is_on_record(store: Store) -> None:
    run = flyte.remote.Run.get("r")
    assert run.url == f"{store.uri}/runs/r"
    put_address(store, CONSOLE, "http://127.0.0.1:8000/apps/console", "")
    assert run.url == "http://127.0.0.1:8000/apps/console/runs/r"


def test_the_console_is_an_app_that_asks_for_tokens_itself() -> None:
    env = ConsoleEnvironment()
    assert (env.name, env.requires_auth, env.ask_token) == ("console", False, True)
    assert env.is_api, "a condition's webhook may be answered there"
    assert Client(env.asgi).get("/api/runs").status_code == 401
