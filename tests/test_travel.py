"""Nodes without this package get it from whoever starts a run there; what else they lack is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests.ray_cluster import TOP, cluster, ray_environ

# Python imports this at its start in every process of the cluster: it takes the package away, however it is installed.
HIDING = f"""
    import os, sys
    sys.path[:] = [part for part in sys.path if os.path.abspath(part) != {TOP!r}]
    sys.meta_path[:] = [each for each in sys.meta_path if "__editable__" not in getattr(each, "__module__", "")]

    class Lacking:
        def __init__(self, finder):
            self.finder = finder

        def find_spec(self, name, path=None, target=None):
            hidden = name in os.environ.get("TEST_HIDES", "").split(",")
            return None if hidden else self.finder.find_spec(name, path, target)

        def invalidate_caches(self):
            self.finder.invalidate_caches()

    sys.meta_path[:] = [Lacking(each) if hasattr(each, "invalidate_caches") else each for each in sys.meta_path]
"""

TASKS = """
    import pathlib, time
    import flyte_ray as flyte

    env = flyte.TaskEnvironment("hello")
    poor = flyte.TaskEnvironment("poor", env_vars={"TEST_HIDES": "pathspec,pyarrow"})

    @env.task
    def where() -> str:
        return f"{flyte.version()} {flyte.__file__}"

    @env.task
    def long() -> None:
        while not pathlib.Path("PROJECT", "end").exists():
            time.sleep(0.1)

    @poor.task
    def never() -> int:
        return 1
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster whose Python cannot import this package."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(textwrap.dedent(HIDING))
    with cluster(2, variables={"PYTHONPATH": str(folder)}) as address:
        yield address


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "hello.py").write_text(textwrap.dedent(TASKS.replace("PROJECT", str(folder))))
    return folder


def test_a_node_without_the_package_runs_with_that_of_the_driver(bare: str, project: Path) -> None:
    done = submit(bare, project, "where")
    assert done.returncode == 0, done.stderr
    assert "o0 = '0.1.0 " in done.stdout and "flyte-ray-package-" in done.stdout


def test_what_a_node_lacks_is_named_within_seconds_with_the_line_that_installs_it(bare: str, project: Path) -> None:
    begun = time.monotonic()
    done = submit(bare, project, "never")
    assert time.monotonic() - begun < 45
    assert done.returncode == 1
    assert "lacks pathspec, pyarrow. Run there: " in done.stderr
    assert "-m pip install 'pathspec>=0.12' 'pyarrow>=17'" in done.stderr
    assert "Traceback (most recent call last)" not in done.stderr


def test_the_drivers_version_replaces_another_one_unless_that_still_runs_something(
    bare: str, project: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(Path(TOP, "flyte_ray"), tmp_path / "flyte_ray", ignore=shutil.ignore_patterns("*.pyc"))
    version = newer / "spec" / "version.py"
    version.write_text(version.read_text().replace('VERSION: Final = "', 'VERSION: Final = "9.'))
    submit(bare, project, "long", options=["--detach", "--name", "long"])
    done = submit(bare, project, "where", package=str(tmp_path))
    assert "goes on with flyte-ray 0.1.0 (" in done.stderr and "this process has 9.0.1.0 (" in done.stderr
    assert "o0 = '0.1.0 " in done.stdout
    (project / "end").touch()
    deadline = time.monotonic() + 60
    while not load_state(open_store(project / "root"), RunId("long")).phase.is_terminal:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    done = submit(bare, project, "where", package=str(tmp_path))
    assert "o0 = '9.0.1.0 " in done.stdout, done.stderr


def submit(
    address: str, project: Path, task: str, package: str = TOP, options: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    # From the project's folder: Ray lets a cluster import from the folder where a driver stands.
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--root", str(project / "root")]
    command += ["--address", address, *(options or []), "hello.py", task]
    environ = {**ray_environ(), "PYTHONPATH": package}
    return subprocess.run(command, env=environ, cwd=project, capture_output=True, text=True, check=False, timeout=180)
