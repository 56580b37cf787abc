"""Members of Flyte's classes, and errors, that no other test shows: each does here what it does there."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import flyte_ray as flyte
from flyte_ray import errors
from flyte_ray.io import DataFrame
from flyte_ray.storage import open_store

HOURLY = """
import flyte_ray as flyte

env = flyte.TaskEnvironment("hourly")

@env.task(triggers=flyte.Trigger("often", flyte.FixedRate(60)))
def report(day: str = "today", *, city: str = "Bern") -> str:
    return f"{day} in {city}"

@env.task
def double(x: int, times: int = 2) -> int:
    return x * times
"""


@pytest.mark.parametrize(
    ("name", "caught_as"),
    [
        ("AppleSiliconError", errors.RuntimeUserError),
        ("GPUFaultError", errors.BaseRuntimeError),
        ("InitializationError", errors.BaseRuntimeError),
        ("InvalidImageNameError", errors.RuntimeUserError),
        ("LogsNotYetAvailableError", errors.BaseRuntimeError),
        ("ModuleLoadError", errors.RuntimeUserError),
        ("OnlyAsyncIOSupportedError", errors.RuntimeUserError),
        ("PrimaryContainerNotFoundError", errors.RuntimeUserError),
        ("ResourceExhaustedError", errors.SlowDownError),
        ("RestrictedTypeError", errors.RuntimeUserError),
        ("SlowDownError", errors.RuntimeUserError),
        ("UnionRpcError", errors.RuntimeSystemError),
    ],
)
def test_code_that_catches_an_error_of_flytes_catches_it_here(name: str, caught_as: type[Exception]) -> None:
    assert issubclass(getattr(flyte.errors, name), caught_as)
    assert issubclass(getattr(flyte.errors, name), RuntimeError)


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hourly_file.py").write_text(HOURLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    monkeypatch.delitem(sys.modules, "hourly_file", raising=False)
    import hourly_file  # type: ignore[import-not-found]  # written above

    flyte.deploy(hourly_file.env)


def test_a_deployed_task_says_what_it_takes(deployed: None) -> None:
    details = flyte.remote.Task.get("hourly.double", auto_version="latest").fetch()
    assert (details.required_args, details.default_input_args) == (("x",), ("times",))
    assert details.task_type == "python"


def test_a_trigger_says_when_it_fires(deployed: None) -> None:
    (trigger,) = flyte.remote.Trigger.listall()
    assert trigger.automation_spec == trigger.get_details().automation_spec
    assert 60 in (trigger.automation_spec or {}).values()


def test_a_frame_is_wrapped_as_it_is() -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    wrapped: Any = DataFrame
    assert wrapped.wrap_df(frame).val is frame


def test_an_app_says_what_was_asked_of_it_and_shows_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record: Any = SimpleNamespace(state="active", name="greeting")
    app = flyte.remote.App(open_store(str(tmp_path)), record)
    monkeypatch.setattr(flyte.remote.App, "record", record)
    assert app.desired_state == "active"
    monkeypatch.setattr(flyte.remote.App, "state", lambda app: {"status": "DEPLOYING"})
    assert app.deployment_status == "DEPLOYING"
    logs = [{"replica": name, "text": f"hello from {name}\n"} for name in "ab"]
    monkeypatch.setattr(flyte.remote.App, "read_logs", lambda app, lines: logs)
    app.show_logs(replica_name="b")
    assert capsys.readouterr().out == "--- replica b\nhello from b\n"


def test_a_policy_of_ones_own_makes_the_version_of_a_cache(tmp_path: Path) -> None:
    class ByName:
        def get_version(self, salt: str, params: object) -> str:
            return f"{salt}-mine"

    policy: flyte.CachePolicy = ByName()
    cache = flyte.Cache("auto", policies=[policy])
    assert [type(each).__name__ for each in cache.policies or ()] == ["ByName"]


def test_a_number_stands_for_the_time_an_attempt_may_run() -> None:
    limit: flyte.TimeoutType = 30
    env = flyte.TaskEnvironment("limited")

    @env.task(timeout=limit)
    def quick() -> int:
        return 1

    assert quick.spec.timeout == flyte.Timeout(max_runtime=30)


def test_a_link_leads_from_an_action_to_elsewhere() -> None:
    class Board:
        name = "board"

        def get_link(self, run_name: str, **about: Any) -> str:
            return f"https://board/{run_name}"

    link: flyte.Link = Board()
    env = flyte.TaskEnvironment("linked")

    @env.task(links=(link,))
    def quick() -> int:
        return 1

    assert [each.name for each in quick.spec.links] == ["board"]


def test_the_version_is_that_of_the_package() -> None:
    assert flyte.__version__ == flyte.version()
