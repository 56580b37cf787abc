"""What travels with a task: its project, as far as its code reaches, wherever its function stands."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.api.reachable import find_environments, inclusions_of
from flyte_ray.cluster.code import pack_code

Project = Callable[..., None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Write the files of a project, whose modules can be imported."""
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_py", ".py").replace("_txt", ".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("reach_"):
            del sys.modules[name]


def files(task: Any) -> list[str]:
    packed = pack_code(task.spec, include=inclusions_of(task.spec))
    return [name for name, _ in packed[1].files] if packed else []


def test_a_function_that_a_library_decorates_travels_with_its_own_file(project: Project) -> None:
    library = """
        import functools

        def kept(func):
            @functools.wraps(func)
            def inner(*args, **kwargs):
                return func(*args, **kwargs)
            return inner

        def hidden(func):
            def inner(x: int) -> int:
                return func(x)
            return inner
    """
    flow = """
        import flyte_ray as flyte
        from reach_library import hidden, kept

        env = flyte.TaskEnvironment("flow")

        @env.task
        @kept
        def wrapped(x: int) -> int:
            return x

        @env.task
        @hidden
        def replaced(x: int) -> int:
            return x
    """
    project(**{"site-packages__reach_library_py": library, "reach_flow_py": flow})
    sys.path.insert(0, str(Path(sys.path[0]) / "site-packages"))
    module = importlib.import_module("reach_flow")
    assert files(module.wrapped) == files(module.replaced) == ["reach_flow.py"]
    assert Path(module.wrapped.source_file).name == "reach_flow.py"


def test_an_environment_includes_files_from_where_it_is_declared(project: Project) -> None:
    project(
        reach_envs_py="""
            import flyte_ray as flyte
            env = flyte.TaskEnvironment("inc", include=("data.txt",))
        """,
        data_txt="",
        sub__reach_flow_py="""
            from reach_envs import env

            @env.task
            def main() -> int:
                return 1
        """,
    )
    module = importlib.import_module("sub.reach_flow")
    assert files(module.main) == ["data.txt", "reach_envs.py", "sub/reach_flow.py"]


def test_what_the_environments_of_other_tasks_include_travels_too(project: Project) -> None:
    project(
        reach_below_py="""
            import flyte_ray as flyte
            last = flyte.TaskEnvironment("last", include=("last.txt",))
        """,
        reach_other_py="""
            import flyte_ray as flyte
            import reach_below
            env = flyte.TaskEnvironment("other", include=("other.txt",), depends_on=[reach_below.last])
            unused = flyte.TaskEnvironment("unused")

            @env.task
            def child() -> int:
                return 1

            def helps() -> int:
                return child()
        """,
        reach_flow_py="""
            import flyte_ray as flyte
            from reach_other import helps
            env = flyte.TaskEnvironment("flow")

            @env.task
            def main() -> int:
                return helps()
        """,
        other_txt="",
        last_txt="",
        nobodys_txt="",
    )
    module = importlib.import_module("reach_flow")
    names = ["last.txt", "other.txt", "reach_below.py", "reach_flow.py", "reach_other.py"]
    assert files(module.main) == names
    assert [each.name for each in find_environments(module.main.spec)] == ["flow", "other", "unused", "last"]


def test_modules_that_a_notebook_has_imported_travel_with_its_cells(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(
        reach_helper_py="""
            def twice(x: int) -> int:
                return 2 * x
        """,
        data_txt="",
    )
    cell = """
import flyte_ray as flyte, reach_helper
env = flyte.TaskEnvironment("cell", include=("data.txt",))

@env.task
def main(x: int) -> int:
    return reach_helper.twice(x)
"""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(cell, "<ipython-input-1>", "exec"), scope)
    # The cell's environment stands in no module here: what its task's environment includes is known all the same.
    assert files(scope["main"]) == ["data.txt", "reach_helper.py"]


def test_a_lazy_object_beside_a_task_is_not_asked_what_it_is(project: Project) -> None:
    flow = """
        import flyte_ray as flyte

        class Settings:
            @property
            def __class__(self):
                raise RuntimeError("the settings are not configured")

        settings = Settings()
        env = flyte.TaskEnvironment("lazy")

        @env.task
        def f() -> int:
            return 1
    """
    project(reach_lazy_py=flow)
    task = importlib.import_module("reach_lazy").f
    assert [environment.name for environment in find_environments(task.spec)] == ["lazy"]
    assert files(task) == ["reach_lazy.py"]
