from __future__ import annotations

import importlib.util
import linecache
import sys
from pathlib import Path
from types import ModuleType

import pytest

from flyte_ray.spec.body import Body, read_body

HELPERS = """
SCALE = 2

def scale(x):
    return shift(x) * SCALE

def shift(x):
    return x + 1

def unused(x):
    return x
"""
PROGRAM = """
import json
import flyte_ray as flyte
import helpers_of_{name}
from helpers_of_{name} import scale

env = flyte.TaskEnvironment("bodies")

class Model:
    def score(self, x):
        return x * 1.5

@env.task
def child(x: int) -> int:
    return x - 1

@env.task
def direct(x: int) -> str:
    return json.dumps(scale(x))

@env.task
def through_module(x: int) -> int:
    return helpers_of_{name}.scale(x)

@env.task
def uses_class(x: int) -> float:
    return Model().score(x)

@env.task
def calls_task(x: int) -> int:
    return child(x)
"""


@pytest.fixture
def bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(tmp_path)
    count = 0

    def load(task: str, edit: tuple[str, str] = ("", "")) -> Body:
        nonlocal count
        count += 1
        name = f"p{count}"
        # Names differ from version to version, because modules are kept; digests must not see them.
        (tmp_path / f"helpers_of_{name}.py").write_text(HELPERS.replace(*edit))
        file = tmp_path / "program.py"
        file.write_text(PROGRAM.format(name=name).replace(*edit))
        spec = importlib.util.spec_from_file_location("program", file)
        assert spec and spec.loader
        module: ModuleType = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "program", module)
        linecache.checkcache()
        spec.loader.exec_module(module)
        found = read_body(getattr(module, task))
        text = tuple(follow.replace(f"helpers_of_{name}", "helpers") for follow in found.follows)
        return Body(found.digest, text)

    return load


def test_a_body_follows_the_projects_functions_and_no_others(bodies) -> None:  # type: ignore[no-untyped-def]
    assert bodies("direct").follows == ("helpers.scale", "helpers.shift")
    assert bodies("through_module").follows == ("helpers.scale", "helpers.shift")
    assert bodies("uses_class").follows == ("program.Model",)
    assert bodies("calls_task").follows == ("program.child",)


@pytest.mark.parametrize(
    ("task", "old", "new"),
    [
        ("uses_class", "* 1.5", "* 1.6"),
        ("calls_task", "x - 1", "x - 2"),
    ],
)
def test_an_edit_of_what_it_calls_changes_the_digest(bodies, task: str, old: str, new: str) -> None:  # type: ignore[no-untyped-def]
    assert bodies(task).digest == bodies(task).digest
    assert bodies(task).digest != bodies(task, (old, new)).digest


def test_comments_and_what_it_does_not_call_do_not_count(bodies) -> None:  # type: ignore[no-untyped-def]
    assert bodies("calls_task").digest == bodies("calls_task", ("* 1.5", "* 1.6")).digest
    assert bodies("calls_task").digest == bodies("calls_task", ("return x - 1", "return x - 1  # less")).digest
