"""The console on a run that a real Ray runs: follow it, abort it, run it again, and look at the cluster."""

from __future__ import annotations

import json
from pathlib import Path

import flyte_ray as flyte
from flyte_ray.console.building import build_console
from tests import console_tasks as shown
from tests.asgi_client import Client
from tests.test_console import events
from tests.waiting import within

until = within(120)


def test_a_run_on_ray_is_followed_aborted_and_started_anew(connected: Path) -> None:
    console = Client(build_console())
    run = flyte.with_runcontext(name="asked-on-ray").run(shown.asking)
    place = "/api/runs/asked-on-ray"

    def waits() -> bool:
        return any(each["phase"] == "paused" for each in console.get(f"{place}/conditions").json())

    until(waits)
    assert "abort" in console.get(place).json()["can"]
    assert console.get("/api/cluster").json()["cpus"]["total"] >= 1
    assert console.post(f"{place}/abort", json={"reason": "enough"}).status_code == 200
    told = events(console.get(f"{place}/changes").text)
    assert (told[0][0], told[-1][0], told[-1][1]["phase"]) == ("rows", "end", "aborted")
    assert console.get(f"{place}/actions/a0").json()["error"]["message"] == "enough"
    again = flyte.with_runcontext(name="priced").run(shown.total, rows=2)
    again.wait()
    answer = console.post("/api/runs/priced/rerun", json={"inputs": {"rows": 1}, "name": "priced-again"})
    assert answer.status_code == 201, answer.text
    flyte.remote.Run.get("priced-again").wait()
    about = console.get("/api/runs/priced-again").json()
    assert (about["phase"], about["mode"], about["rerun"]["run"]) == ("succeeded", "remote", "priced")
    environment = console.get("/api/runs/priced/actions/a0").json()["environment"]
    assert environment["resources"]["num_cpus"] == 1 and environment["env_vars"] == ["FLYTE_RAY_BUNDLE", "SECRET"]
    assert "hidden" not in json.dumps(environment)
    assert run.url.endswith("/runs/asked-on-ray")
