"""Deploying tasks, and calling and running what is deployed, in local mode."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import CodeBundleError, RemoteTaskNotFoundError, RemoteTaskUsageError
from flyte_ray.ledger.tasks import list_versions
from flyte_ray.storage import open_store
from tests.test_readme import run_python

SHOP = """
from dataclasses import dataclass
import flyte_ray as flyte

@dataclass
class Quote:
    item: str
    price: float

stock = flyte.TaskEnvironment("stock")

@stock.task
async def count(item: str) -> int:
    return len(item)

shop = flyte.TaskEnvironment("shop", depends_on=[stock])

@shop.task(cache="auto")
def quote(item: str, factor: float = 2.0, tags: list[str] = []) -> Quote:
    '''Say what something costs.'''
    return Quote(item, factor * 1.5)
"""
env = flyte.TaskEnvironment("deploy_tests")
quote = flyte.remote.Task.get("shop.quote", auto_version="latest")
count = flyte.remote.Task.get("stock.count", auto_version="latest")
Cli = Callable[..., Result]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "shop_file", sys)  # forgotten after the test
    del sys.modules["shop_file"]
    flyte.init(tmp_path / "root")
    for task in (quote, count):
        task._found = None
    yield tmp_path / "root"
    flyte.init()


@pytest.fixture
def cli(root: Path) -> Cli:
    return lambda *words: CliRunner().invoke(main, words, prog_name="flyte-ray")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "shop_file.py"
    path.parent.mkdir()
    path.write_text(SHOP)
    return path


def deployed(cli: Cli, file: Path, *words: str) -> dict[str, dict[str, str]]:
    sys.modules.pop("shop_file", None)
    result = cli("deploy", *words, str(file), "shop", "-o", "json")
    assert result.exit_code == 0, result.output
    return {row["task"]: row for row in json.loads(result.output)}


@env.task
async def ask(item: str) -> str:
    found = await quote(item)
    dearer = await quote.override(retries=2, cache="disable")(item=item, factor=4.0)
    return f"{await count(item)} {found.price} {dearer.price}"


@env.task
def ask_from_sync_code(item: str) -> int:
    return sum(flyte.map(count.fetch(), [item, item])) + count(item)


def test_an_environment_is_deployed_with_what_it_depends_on(cli: Cli, file: Path) -> None:
    rows = deployed(cli, file)
    assert {name: row["change"] for name, row in rows.items()} == {"shop.quote": "new", "stock.count": "new"}
    assert rows["shop.quote"]["interface"] == "(item: str, factor: float = 2.0, tags: list[str] = []) -> Quote"


def test_what_has_not_changed_stays_as_it_is(cli: Cli, file: Path, root: Path) -> None:
    first = deployed(cli, file)
    assert {row["change"] for row in deployed(cli, file).values()} == {"unchanged"}
    assert "Nothing has changed." in cli("deploy", str(file)).output
    assert [record.version for record in list_versions(open_store(root), "shop.quote")] == [
        first["shop.quote"]["version"]
    ]


def test_a_dry_run_prints_the_plan_and_stores_nothing(cli: Cli, file: Path, root: Path) -> None:
    result = cli("deploy", str(file), "--dry-run")
    assert "shop.quote" in result.output and '"num_cpus": 1' in result.output
    assert "Nothing was deployed: this is the plan." in result.output
    assert not root.exists() or not open_store(root).keys("tasks")


def test_deployed_tasks_are_called_by_tasks_that_lack_their_code(cli: Cli, file: Path) -> None:
    deployed(cli, file)
    run = flyte.run(ask, "tea")
    assert run.outputs() == ("3 3.0 6.0",)
    called = [row["task"] for row in run.actions_table().to_pylist()]
    assert called == ["deploy_tests.ask", "shop.quote", "shop.quote", "stock.count"]
    assert flyte.run(ask_from_sync_code, "tea").outputs() == (9,)


def test_a_run_that_was_cut_off_in_a_deployed_task_goes_on_in_another_process(
    cli: Cli, file: Path, tmp_path: Path
) -> None:
    file.write_text(
        SHOP.replace("    return Quote", "    import os\n    os.environ.get('DIE') and os._exit(1)\n    return Quote")
    )
    deployed(cli, file)
    (tmp_path / "caller.py").write_text(CALLER)
    with pytest.raises(AssertionError):
        run_python(["-c", "import os; os.environ['DIE'] = '1'; import caller; caller.start()"], tmp_path)
    done = run_python(["-m", "flyte_ray.cli.main", "resume", "cut", "--local"], tmp_path)
    assert "succeeded" in done and "o0 = 3.0" in done


CALLER = """
import flyte_ray as flyte

env = flyte.TaskEnvironment("caller")
quote = flyte.remote.Task.get("shop.quote", auto_version="latest")

@env.task
async def ask(item: str) -> float:
    return (await quote(item)).price

def start():
    flyte.with_runcontext("local", name="cut").run(ask, "tea")
"""


def test_a_deployed_task_is_run_from_python_and_by_the_command(cli: Cli, file: Path) -> None:
    version = deployed(cli, file)["shop.quote"]["version"]
    run = flyte.run(quote, item="tea", factor=1.0)
    assert run.outputs()[0].price == 1.5
    done = cli("submit", "--local", "deployed-task", f"shop.quote:{version}", "--item", "tea", "-o", "json")
    assert done.exit_code == 0, done.output
    assert "Say what something costs." in cli("submit", "deployed-task", "shop.quote", "--help").output
    assert "stock.count" in cli("submit", "deployed-task").output


def test_versions_are_listed_with_what_changed_in_the_interface(cli: Cli, file: Path) -> None:
    deployed(cli, file, "--version", "1")
    file.write_text(SHOP.replace("factor: float = 2.0, tags: list[str] = []", "factor: int = 3, *, loud: bool = False"))
    deployed(cli, file, "--version", "2")
    rows = json.loads(cli("get", "task", "shop.quote", "-o", "json").output)
    assert [(row["version"], row["changed"]) for row in rows] == [
        ("2", "loud: bool = False added; tags removed; factor: float -> int; factor: default 2.0 -> 3"),
        ("1", "first"),
    ]
    assert [task.version for task in flyte.remote.Task.listall(by_task_env="shop")] == ["2"]
    older = flyte.remote.Task.get("shop.quote", version="1").fetch()
    assert older.default_input_args == ("factor", "tags")


def test_a_version_stands_for_one_content(cli: Cli, file: Path) -> None:
    deployed(cli, file, "--version", "1")
    file.write_text(SHOP + "\nMORE = 1\n")
    sys.modules.pop("shop_file", None)
    result = cli("deploy", str(file), "--version", "1")
    assert result.exit_code == 1
    assert "Version '1' of task 'stock.count' should be new, but was deployed by" in result.output


def test_a_version_that_is_gone_is_said_with_those_that_are_there(cli: Cli, file: Path) -> None:
    deployed(cli, file, "--version", "1")
    deployed(cli, file, "--version", "2")
    assert "Deleted task shop.quote, version 1." in cli("delete", "task", "shop.quote", "1").output
    for result in cli("submit", "deployed-task", "shop.quote:1"), cli("submit", "deployed-task", "shop.sale"):
        assert result.exit_code == 2
    with pytest.raises(RemoteTaskNotFoundError, match="in version '1', but does not: it was deleted, or .* It has: 2."):
        flyte.run(flyte.remote.Task.get("shop.quote", version="1"), item="tea")
    with pytest.raises(RemoteTaskNotFoundError, match="task 'shop.sale', but does not. It holds: shop.quote"):
        flyte.remote.Task.get("shop.sale", auto_version="latest").fetch()


def test_an_argument_that_does_not_fit_is_refused_before_anything_is_recorded(cli: Cli, file: Path, root: Path) -> None:
    deployed(cli, file)
    with pytest.raises(TypeError, match="Task 'shop.quote', parameter 'factor': expected float, got str"):
        flyte.run(quote, item="tea", factor="much")
    assert not open_store(root).keys("runs")
    with pytest.raises(RemoteTaskUsageError, match="has no function here that could be called"):
        quote("tea")
    with pytest.raises(RemoteTaskUsageError, match="The current version of task 'shop.quote' is that of the task"):
        flyte.remote.Task.get("shop.quote", auto_version="current").fetch()
    with pytest.raises(ValueError, match="expects either version=... or auto_version='latest' or 'current'"):
        flyte.remote.Task.get("shop.quote")


def test_a_deployed_task_uses_the_outcomes_that_the_declared_one_has_kept(cli: Cli, file: Path, tmp_path: Path) -> None:
    deployed(cli, file)
    (tmp_path / "program.py").write_text(
        f"import sys\nsys.path.insert(0, {str(file.parent)!r})\nimport flyte_ray as flyte\nimport shop_file\n"
        "print(flyte.run(shop_file.quote, 'tea', 2.0, []).name)"
    )
    earlier = run_python(["program.py"], tmp_path).strip()
    (row,) = flyte.run(quote, "tea", 2.0, []).actions_table().to_pylist()
    assert row["cached_from"] == f"{earlier}/a0"


def test_only_what_stands_at_the_top_of_a_file_is_deployed(root: Path) -> None:
    inner = flyte.TaskEnvironment("inner")

    @inner.task
    def hidden(x: int) -> int:
        return x

    with pytest.raises(CodeBundleError, match="Task 'inner.hidden' should stand under its own name at the top level"):
        flyte.deploy(inner)
    with pytest.raises(TypeError, match="flyte.deploy expects environments, got int 3"):
        flyte.deploy(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Environment 'empty' should have tasks to deploy, but has none"):
        flyte.deploy(flyte.TaskEnvironment("empty"))
    with pytest.raises(ValueError, match="A version must be letters, digits and"):
        flyte.deploy(env, version="a/b")


def test_a_script_deploys_itself(tmp_path: Path) -> None:
    deploying = "print(flyte.deploy(shop, version='7')[0].summary_repr())"
    (tmp_path / "program.py").write_text(f"{SHOP}\nif __name__ == '__main__':\n    {deploying}\n")
    assert run_python(["program.py"], tmp_path) == "shop.quote 7: new\nstock.count 7: new\n"
