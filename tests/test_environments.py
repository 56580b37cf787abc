"""Packages of an image, really installed, from a wheel that is made here: no index is asked."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.cached import describe_environments
from flyte_ray.errors import ImageBuildError
from tests import image_tasks
from tests.ray_cluster import cluster, connection


def make_wheel(folder: Path) -> None:
    """A wheel of one module without dependencies."""
    name = image_tasks.WHEEL.replace("-", "_")
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {image_tasks.WHEEL}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "".join(f"{each},,\n" for each in (*wheel.namelist(), f"{about}/RECORD")))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder)
    return folder


@pytest.fixture(scope="module")
def root(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster whose installers know these wheels alone.

    Ray copies the virtual environment that it runs in for each one it makes: this one is small and points to ours.
    """
    python = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(python)], check=True, timeout=60)
    place = sysconfig.get_path("purelib", vars={"base": str(python), "platbase": str(python)})
    Path(place, "outer.pth").write_text(sysconfig.get_path("purelib"))
    given = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    given["RUNTIME_ENV_RETRY_TIMES"] = "1"
    ray = (str(python / "bin" / "python"), "-m", "ray.scripts.scripts")
    with cluster(6, variables=given, ray=ray) as address:
        found = tmp_path_factory.mktemp("root")
        with connection(address, found):
            yield found


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, flyte.Run]:
    """A run of each kind; all install at once, which takes as long as the slowest."""
    hiding = tmp_path_factory.mktemp("hiding")
    (hiding / "uv").mkdir()
    (hiding / "uv" / "__init__.py").touch()  # hides the real one, and is none
    return {
        "both": flyte.run(image_tasks.main),
        "none": flyte.run(image_tasks.has_none),
        "two": flyte.run(image_tasks.has_two),
        "pip": flyte.with_runcontext(env_vars={"PYTHONPATH": str(hiding)}).run(image_tasks.uses_one),
    }


def test_environments_of_one_image_are_built_once(runs: dict[str, flyte.Run]) -> None:
    first, second = runs["both"].outputs()[0]
    assert first == second and "/runtime_resources/uv/" in first
    assert flyte.run(image_tasks.main).outputs() == ([first, second],)


def test_a_package_that_no_index_has_fails_its_actions_with_the_installers_words(runs: dict[str, flyte.Run]) -> None:
    with pytest.raises(ImageBuildError, match="'no-such-wheel-of-a-test'") as caught:
        runs["none"].outputs()
    assert "Because no-such-wheel-of-a-test was not found" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_packages_that_exclude_each_other_fail_with_the_installers_words(runs: dict[str, flyte.Run]) -> None:
    with pytest.raises(ImageBuildError, match="unsatisfiable"):
        runs["two"].outputs()


def test_where_there_is_no_uv_pip_installs(runs: dict[str, flyte.Run]) -> None:
    assert "/runtime_resources/pip/" in runs["pip"].outputs()[0]


def test_nodes_say_what_lies_ready(runs: dict[str, flyte.Run]) -> None:
    runs["both"].outputs()
    runs["pip"].outputs()
    found = describe_environments()
    rows = {(row["by"], row["environment"]): row for row in found.rows}
    assert found.unknown == []
    assert rows.keys() >= {("uv", image_tasks.WHEEL), ("pip", f"{image_tasks.WHEEL}==1.0")}
    assert all(row["bytes"] > 0 and row["age_s"] >= 0 for row in rows.values())
