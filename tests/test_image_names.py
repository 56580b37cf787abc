"""Images that the command line and `flyte.init` name, where a run, a plan, a deployment and an app use them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI

import flyte_ray as flyte
from flyte_ray.api.settings import current_store, settings
from flyte_ray.app.extras import FastAPIAppEnvironment
from flyte_ray.apps.deploying import record_of
from flyte_ray.apps.local import Patience
from flyte_ray.cli.main import main
from flyte_ray.cluster.trigger_ledger import start_of
from flyte_ray.ledger.tasks import list_versions
from flyte_ray.ledger.triggers import list_triggers

PROGRAM = """
import flyte_ray as flyte

tools = flyte.TaskEnvironment("tools", image=flyte.Image.from_ref_name("team"))
usual = flyte.TaskEnvironment("usual", image=flyte.Image.from_ref_name(), depends_on=[tools])


@tools.task
def inner() -> int:
    return 1


@usual.task(triggers=flyte.Trigger("hourly", flyte.Cron("0 * * * *")))
def outer() -> int:
    return inner()
"""
GIVEN = ("--image", "team=repo/team:1", "--image", "repo/usual:2")
Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands about `named_images.py`, which stands in the current folder."""
    (tmp_path / "named_images.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "named_images", sys)  # forgotten after the test
    del sys.modules["named_images"]
    monkeypatch.setattr(settings, "images", {})
    return lambda *words: CliRunner().invoke(main, [*words])


def test_a_plan_names_the_images_of_the_command_line(cli: Cli) -> None:
    done = cli("submit", "--dry-run", "-o", "json", *GIVEN, "named_images.py", "outer")
    plans = json.loads(done.stdout)["environments"]
    assert {name: each["runtime_env"]["image_uri"] for name, each in plans.items()} == {
        "usual": "repo/usual:2",
        "tools": "repo/team:1",
    }


def test_an_image_that_nobody_names_is_refused(cli: Cli) -> None:
    done = cli("submit", "--dry-run", "named_images.py", "outer", "--image", "repo/usual:2")
    assert done.exit_code == 2 and "the address of the image 'team', which nobody has given" in done.stderr


def test_a_deployed_task_keeps_what_its_images_came_to(cli: Cli) -> None:
    assert cli("deploy", *GIVEN, "named_images.py").exit_code == 0
    [record] = list_versions(current_store(), "usual.outer")
    assert json.loads(record.ref.options)["runtime_env"]["image_uri"] == "repo/usual:2"
    task = flyte.remote.Task.get("usual.outer", auto_version="latest").fetch()
    assert task.images == {"usual": {"image_uri": "repo/usual:2"}, "tools": {"image_uri": "repo/team:1"}}
    [trigger] = list_triggers(current_store())
    assert start_of(current_store(), trigger, 0, {}).about["images"] == task.images
    cli("deploy", *GIVEN, "--image", "team=repo/team:9", "named_images.py")
    assert len(list_versions(current_store(), "usual.outer")) == 2, "another image is another version"


def test_a_build_knows_the_images_of_the_command_line(cli: Cli) -> None:
    rows = json.loads(cli("build", "-o", "json", *GIVEN, "named_images.py").stdout)
    assert [(row["image"], row["done"]) for row in rows] == [
        ("repo/team:1", "nothing to build"),
        ("repo/usual:2", "nothing to build"),
    ]


def test_an_app_runs_in_the_image_that_init_names(cli: Cli) -> None:
    flyte.init(images={"team": "repo/team:1"})
    app = FastAPIAppEnvironment("named", app=FastAPI(), image=flyte.Image.from_ref_name("team"))
    record = record_of(current_store(), app, {}, code=None, parameters={}, env_vars={}, patience=Patience())
    assert record.options["runtime_env"]["image_uri"] == "repo/team:1"
