"""Values on a real Ray cluster: they go through other processes, and Ray's own datasets through Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flyte_ray as flyte
from tests import datasets, type_matrix
from tests.ray_cluster import QUIET, ray_environ
from tests.test_data_docs import WITH_RAY, run_program


@pytest.fixture(scope="module")
def connected(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Connect this process to the cluster, with one root for all tests of the module."""
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        flyte.init(root=root, address=ray_address)
        yield root
        import ray

        ray.shutdown()


def test_every_kind_of_value_goes_through_other_processes(connected: Path) -> None:
    assert flyte.run(type_matrix.every_case, list(type_matrix.CASES)).outputs() == (list(type_matrix.CASES),)


def test_a_dataset_of_rays_goes_from_task_to_task(connected: Path) -> None:
    run = flyte.run(datasets.main, rows=1000)
    assert run.outputs() == (sum(range(0, 2000, 2)),)
    (stored,) = (path for path in (connected / "runs" / run.name / "data").iterdir() if path.suffix == ".parquet")
    assert list(stored.glob("*.parquet"))


def test_the_program_of_the_docs_with_a_dataset_runs(ray_address: str, tmp_path: Path) -> None:
    (program,) = WITH_RAY
    run_program(program, tmp_path, {**ray_environ(), "RAY_ADDRESS": ray_address})
