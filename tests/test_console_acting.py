"""What a person does in the console: abort, answer, continue, run again; and that it is recorded with who did it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.console.building import build_console
from flyte_ray.ledger.tokens import create_token
from flyte_ray.storage import open_store
from tests import console_tasks as shown
from tests.asgi_client import Client
from tests.waiting import within

until = within(120)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Client]:
    flyte.init(root=tmp_path)
    text, _ = create_token(open_store(tmp_path), "ann", ["api:write"], random=os.urandom, at_us=1, by="test")
    yield Client(build_console(ask_token=True), headers={"Authorization": f"Bearer {text}"})
    flyte.init()


def local(task: Any, name: str | None = None, **inputs: Any) -> Any:
    return flyte.with_runcontext(mode="local", name=name).run(task, **inputs)


def ended(console: Client, run: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(console.get(f"/api/runs/{run}").json())
        return bool(found["ended_us"])

    until(has_ended)
    return found


def test_a_run_is_started_anew_with_changed_inputs(console: Client) -> None:
    earlier = local(shown.total, rows=3).name
    assert console.get(f"/api/runs/{earlier}").json()["can"] == ["rerun", "recover", "resume"]
    schema = console.get(f"/api/runs/{earlier}").json()["inputs_schema"]
    assert schema == {"type": "object", "properties": {"rows": {"default": 3, "type": "integer"}}, "required": []}
    answer = console.post(f"/api/runs/{earlier}/rerun", json={"inputs": {"rows": 2}, "name": "again"})
    assert (answer.status_code, answer.json()) == (201, {"run": "again"})
    about = ended(console, "again")
    assert (about["phase"], about["who"], about["rerun"]["run"]) == ("succeeded", "ann@http", earlier)
    assert console.get("/api/runs/again/actions/a0").json()["outputs"][0]["value"] == 1
    assert console.get("/api/runs/again").json()["can"] == ["rerun", "recover"]


def test_inputs_that_do_not_fit_start_nothing(console: Client) -> None:
    earlier = local(shown.total, rows=1).name
    refused = console.post(f"/api/runs/{earlier}/rerun", json={"inputs": {"rows": "many"}})
    assert refused.status_code == 400 and "Input rows: " in refused.json()["detail"]
    assert len(console.get("/api/runs").json()["runs"]) == 1
    taken = console.post(f"/api/runs/{earlier}/rerun", json={"name": earlier})
    assert taken.status_code == 409


def test_a_failed_run_is_continued_and_a_succeeded_one_is_not(console: Client) -> None:
    run = local(shown.total, rows=3).name
    assert console.post(f"/api/runs/{run}/resume", json={}).json() == {"run": run}
    ended(console, run)
    told = [each["kind"] for each in console.get(f"/api/runs/{run}/actions/a0").json()["events"]]
    assert told == ["CALLED", "STARTED", "FAILED", "RENEWED", "STARTED", "FAILED"]
    done = local(shown.total, rows=1).name
    assert console.post(f"/api/runs/{done}/resume", json={}).status_code == 409


def test_a_running_run_is_aborted_and_says_by_whom(console: Client) -> None:
    running = threading.Thread(target=local, args=(shown.asking, "asks"), daemon=True)
    running.start()
    until(lambda: paused(console, "asks"))
    assert "abort" in console.get("/api/runs/asks").json()["can"]
    assert console.post("/api/runs/asks/abort", json={"reason": "enough"}).status_code == 200
    running.join(60)
    about = console.get("/api/runs/asks/actions/a0").json()
    assert (about["phase"], about["aborted_by"], about["error"]["message"]) == ("aborted", "ann@http", "enough")


def paused(console: Client, run: str) -> list[Any]:
    answer = console.get(f"/api/runs/{run}/conditions")
    return [each for each in answer.json() if each["phase"] == "paused"] if answer.status_code == 200 else []
