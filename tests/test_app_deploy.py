"""Deploying environments that hold apps: with `flyte.deploy` and from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.app import AppEndpoint, AppEnvironment, DeployedAppEnvironment, Parameter
from flyte_ray.apps.deploying import plan
from flyte_ray.apps.deployment import Deployment
from flyte_ray.apps.local import Patience
from flyte_ray.apps.serving import Server
from flyte_ray.cli.main import main
from flyte_ray.errors import DeploymentError, InvalidDeclaration
from flyte_ray.io import File
from flyte_ray.ledger.apps import AppRecord, add_revision, find_app
from flyte_ray.ledger.tasks import list_deployed
from flyte_ray.storage import open_store

NOTES = Path(__file__)
store_env = AppEnvironment("price-list", command="serve-prices --port {port}")
shop = AppEnvironment(
    "price-shop",
    command="serve-shop --port {port}",
    depends_on=[store_env],
    parameters=[
        Parameter("prices", value=AppEndpoint(app_name="price-list")),
        Parameter("notes", value=File(path=str(NOTES))),
    ],
)
orders = flyte.TaskEnvironment("orders", depends_on=[shop])


@orders.task
def order(item: str) -> str:
    return item


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    flyte.init(tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def served(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cluster that serves what it is asked to; the names in the order in which it was asked."""
    names: list[str] = []

    class Served:
        def __init__(self, record: AppRecord) -> None:
            self.record, self.endpoint = record, f"http://127.0.0.1:8000{record.route}"

    def serve(self: Server, env: AppEnvironment) -> Served:
        names.append(env.name)
        store = open_store(root)
        record, before = plan(store, env, parameters={}, env_vars={}, patience=Patience()), find_app(store, env.name)
        same = before is not None and before.version == record.version
        return Served(before if same and before else add_revision(store, record))

    monkeypatch.setattr("flyte_ray.apps.deployment.has_cluster", lambda address: True)
    monkeypatch.setattr(Server, "serve", serve)
    return names


def changes(deployment: Deployment) -> dict[str, str]:
    tasks = {task.name: task.change for task in deployment.tasks}
    return {**tasks, **{app.name: app.change for app in deployment.apps}}


def test_an_app_is_deployed_by_serving_it_with_what_it_depends_on(served: list[str], root: Path) -> None:
    [deployment] = flyte.deploy(orders)
    assert served == ["price-list", "price-shop"]  # the shop asks for the address of the other one
    assert [*deployment.envs] == ["orders", "price-shop", "price-list"]
    assert changes(deployment) == {"orders.order": "new", "price-shop": "new", "price-list": "new"}
    told = deployment.envs["price-shop"]
    assert isinstance(told, DeployedAppEnvironment) and told.env is shop and told.deployed_app is not None
    assert told.endpoint == "http://127.0.0.1:8000/apps/price-shop"
    assert deployment.summary_repr().splitlines()[1:] == [
        "app price-shop: new, answers at http://127.0.0.1:8000/apps/price-shop",
        "app price-list: new, answers at http://127.0.0.1:8000/apps/price-list",
    ]
    assert [record.name for record in list_deployed(open_store(root))] == ["orders.order"]
    both = flyte.deploy(store_env, shop)
    assert [changes(each) for each in both] == [
        {"price-list": "unchanged"},
        {"price-shop": "unchanged", "price-list": "unchanged"},
    ]
    assert served[2:] == ["price-list", "price-shop"]


def test_a_dry_run_says_what_would_change_and_needs_no_cluster(root: Path) -> None:
    [deployment] = flyte.deploy(orders, dry_run=True)
    assert changes(deployment) == {"orders.order": "new", "price-shop": "new", "price-list": "new"}
    assert not root.exists()
    add_revision(open_store(root), plan(open_store(root), shop, parameters={}, env_vars={}, patience=Patience()))
    [deployment] = flyte.deploy(shop, dry_run=True)
    assert changes(deployment) == {"price-shop": "unchanged", "price-list": "new"}
    result = CliRunner().invoke(main, ["deploy", str(NOTES), "--dry-run", "--root", str(root)], prog_name="flyte-ray")
    assert result.exit_code == 0, result.output
    assert "price-list" in result.output and "Nothing was deployed: this is the plan." in result.output
    words = ["deploy", str(NOTES), "price-list", "--dry-run", "--root", str(root), "-o", "json"]
    said = json.loads(CliRunner().invoke(main, words, prog_name="flyte-ray").output)
    assert said == {"tasks": [], "apps": [{"app": "price-list", "change": "new", "url": ""}], "environments": {}}


def test_what_cannot_be_deployed_is_said_before_anything_is(root: Path) -> None:
    with pytest.raises(DeploymentError, match="App 'price-list', which is depended on, is deployed by serving it on a"):
        flyte.deploy(orders)
    words = ["deploy", str(NOTES), "price-shop", "--root", str(root)]
    result = CliRunner().invoke(main, words, prog_name="flyte-ray")
    assert result.exit_code == 1 and "none was given. Give its address" in result.output.replace("\n", " ")
    with pytest.raises(InvalidDeclaration, match="App 'empty' should have a process, got none"):
        flyte.deploy(orders, AppEnvironment("empty"))
    with pytest.raises(InvalidDeclaration, match="must have names of their own, got two with 'orders'. Rename one"):
        flyte.deploy(orders, AppEnvironment("orders", command="x"))
    assert not root.exists()
