"""Every kind of value goes into a task, on to a child, and comes back as what it was; Ray's datasets go through Ray."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.storage import S3, open_store
from flyte_ray.storage.providers import options_of
from tests import datasets
from tests.ray_cluster import ray_environ
from tests.s3_server import S3Server
from tests.test_data_docs import WITH_RAY, run_program
from tests.type_matrix import check


@pytest.fixture(params=["disk", "s3"])
def given(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Return what `init` is told of the root."""
    if request.param == "disk":
        return {"root": tmp_path / "root"}
    server: S3Server = request.getfixturevalue("s3_running")
    return {"root": f"s3://tests/{uuid.uuid4().hex}", "storage": S3(**server.arguments)}


@pytest.fixture(params=["local", "remote"])
def mode(request: pytest.FixtureRequest, given: dict[str, Any]) -> Iterator[str]:
    """Have the root used in this process, or on a cluster whose nodes know nothing of it."""
    if request.param == "local":
        flyte.init(**given)
        yield "local"
        return
    connected, address = (request.getfixturevalue(name) for name in ("connected", "ray_address"))
    flyte.init(**given, address=address)
    yield "remote"
    flyte.init(root=connected, address=address)


@pytest.mark.filterwarnings("ignore:Values of type")
def test_every_kind_of_value_goes_through_a_task_and_its_child_and_comes_back(mode: str) -> None:
    check(mode=mode)


@pytest.mark.parametrize("given", ["s3"], indirect=True)
@pytest.mark.parametrize("mode", ["remote"], indirect=True)
def test_a_dataset_of_rays_goes_from_task_to_task_over_s3(mode: str, given: dict[str, Any]) -> None:
    run = flyte.run(datasets.main, rows=1000)
    assert run.outputs() == (sum(range(0, 2000, 2)),)
    store = open_store(given["root"], options_of(given["storage"], given["root"]))
    stored = store.keys(f"runs/{run.name}/data")
    assert [name for name in stored if ".parquet/" in name and name.endswith(".parquet")], stored


@pytest.mark.parametrize("given", ["disk"], indirect=True)
@pytest.mark.parametrize("mode", ["remote"], indirect=True)
def test_a_dataset_may_have_no_rows_and_one_of_python_objects_is_refused(mode: str, given: dict[str, Any]) -> None:
    rows, said = flyte.run(datasets.odd).outputs()
    assert rows == 0
    assert "a dataset of plain columns was expected, got Python objects in column 'id'" in said


def test_the_program_of_the_docs_with_a_dataset_runs_with_its_root_on_disk(ray_address: str, tmp_path: Path) -> None:
    (program,) = WITH_RAY
    run_program(program, tmp_path, {**ray_environ(), "RAY_ADDRESS": ray_address})
