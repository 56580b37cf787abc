"""A project's folder that the user names is what travels, and what its modules are imported from."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.ray_cluster import ray_environ

FLOW = """
    import flyte_ray as flyte
    from . import numbers_
    from ..shared import more

    env = flyte.TaskEnvironment("flow")

    @env.task
    def total() -> int:
        return numbers_.one + more.two

    @env.task
    def main() -> list[str]:
        return [str(total()), __name__, *sorted(module for module in ("numbers_", "more") if can_import(module))]

    def can_import(name: str) -> bool:
        import importlib.util
        return importlib.util.find_spec(name) is not None
"""

SCRIPT = """
    import os
    import flyte_ray as flyte

    flyte.init(root=os.environ["ROOT"], address=os.environ["ADDRESS"], root_dir=os.environ["PROJECT"])
    from package.flows.flow import main

    print(flyte.run(main).outputs()[0])
"""


NOTEBOOK = """
    import os
    import flyte_ray as flyte
    import numbers_

    env = flyte.TaskEnvironment("cell")

    @env.task
    def main() -> str:
        return f"{numbers_.one} of {numbers_.__file__}"

    flyte.init(root=os.environ["ROOT"], address=os.environ["ADDRESS"])
    print(flyte.run(main).outputs()[0])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    # No __init__.py and no pyproject.toml: nothing tells where the project begins.
    flows, shared = tmp_path / "project" / "package" / "flows", tmp_path / "project" / "package" / "shared"
    flows.mkdir(parents=True)
    shared.mkdir()
    (flows / "flow.py").write_text(textwrap.dedent(FLOW))
    (flows / "numbers_.py").write_text("one = 1\n")
    (shared / "more.py").write_text("two = 2\n")
    return tmp_path / "project"


def test_relative_imports_of_a_submitted_file_work_in_the_cluster(
    ray_address: str, ray_root: Path, project: Path
) -> None:
    done = submit(project, "--root", str(ray_root), "--address", ray_address, "--root-dir", str(project))
    assert "o0 = ['3', 'package.flows.flow', 'numbers_']" in done.stdout, done.stderr


def test_a_script_names_its_projects_folder(ray_address: str, ray_root: Path, project: Path) -> None:
    script = project.parent / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(textwrap.dedent(SCRIPT))
    environ = {**ray_environ(), "ADDRESS": ray_address, "ROOT": str(ray_root), "PROJECT": str(project)}
    environ["PYTHONPATH"] += os.pathsep + str(project)
    done = subprocess.run([sys.executable, str(script)], env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["['3', 'package.flows.flow', 'numbers_']"], done.stderr


def test_the_modules_that_a_notebook_imported_travel(ray_address: str, ray_root: Path, project: Path) -> None:
    environ = {**ray_environ(), "ADDRESS": ray_address, "ROOT": str(ray_root)}
    where = project / "package" / "flows"
    command = [sys.executable, "-"]  # like a cell, its code has no file
    cell = textwrap.dedent(NOTEBOOK)
    done = subprocess.run(command, input=cell, env=environ, cwd=where, capture_output=True, text=True, check=False)
    assert "1 of /" in done.stdout and "/flyte-ray-code-" in done.stdout, done.stderr


def test_a_file_outside_of_the_projects_folder_is_refused(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    done = submit(project, "--root", str(tmp_path), "--local", "--root-dir", str(other))
    assert done.returncode == 2
    assert f"must lie below --root-dir {other}" in done.stderr


def submit(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", *options]
    command += [str(project / "package" / "flows" / "flow.py"), "main"]
    # From another folder: Ray lets a cluster import from the folder where a driver stands.
    where = project.parent
    return subprocess.run(command, env=ray_environ(), cwd=where, capture_output=True, text=True, check=False)
