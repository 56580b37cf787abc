from __future__ import annotations

import importlib.util
import itertools
import linecache
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from flyte_ray.runtime.catalog import bodies_of
from flyte_ray.spec.body import Body, Parts, read_body

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
NUMBERS = itertools.count()


@pytest.fixture
def bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # versions of one second and size would be taken for one

    def load(task: str, edit: tuple[str, str] = ("", "")) -> tuple[ModuleType, str]:
        # Names differ from version to version, because modules are kept; digests must not see them.
        name = f"p{next(NUMBERS)}"
        (tmp_path / f"helpers_of_{name}.py").write_text(HELPERS.replace(*edit))
        file = tmp_path / "program.py"
        file.write_text(PROGRAM.format(name=name).replace(*edit))
        spec = importlib.util.spec_from_file_location("program", file)
        assert spec and spec.loader
        module: ModuleType = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "program", module)
        linecache.checkcache()
        spec.loader.exec_module(module)
        return module, f"helpers_of_{name}"

    def whole(task: str, edit: tuple[str, str] = ("", "")) -> Body:
        module, helpers = load(task, edit)
        found = read_body(getattr(module, task))
        return Body(found.digest, tuple(follow.replace(helpers, "helpers") for follow in found.follows))

    def parts(task: str, edit: tuple[str, str] = ("", "")) -> Parts:
        module, helpers = load(task, edit)
        found = bodies_of(getattr(module, task).spec)
        assert found is not None
        return tuple((name.replace(helpers, "helpers"), digest) for name, digest in found)

    whole.parts = parts  # type: ignore[attr-defined]
    return whole


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


def test_its_parts_name_what_an_edit_changed(bodies) -> None:  # type: ignore[no-untyped-def]
    before, after = dict(bodies.parts("direct")), dict(bodies.parts("direct", ("x + 1", "x + 2")))
    assert list(before) == ["program.direct", "helpers.SCALE", "helpers.scale", "helpers.shift"]
    assert [name for name in before if before[name] != after[name]] == ["helpers.shift"]


def test_a_task_that_it_calls_is_one_part_with_all_that_this_calls(bodies) -> None:  # type: ignore[no-untyped-def]
    before, after = dict(bodies.parts("calls_task")), dict(bodies.parts("calls_task", ("x - 1", "x - 2")))
    assert list(before) == ["program.calls_task", "task bodies.child"]
    assert [name for name in before if before[name] != after[name]] == ["task bodies.child"]


SCRIPT = """
import flyte_ray as flyte
from flyte_ray.runtime.catalog import bodies_of
from flyte_ray.spec.body import read_body
from dataclasses import dataclass, field
from enum import Enum
import functools
import pydantic

env = flyte.TaskEnvironment("script")
SCALE = 2

class Kind(Enum):
    A = 11

class Plain(pydantic.BaseModel):
    depth: int = 12

@dataclass
class Config:
    kind: Kind = Kind.A
    rate: float = 0.5
    layers: list[int] = field(default_factory=lambda: [1, 2])

class Holder:
    allowed = {"a", "b", "c"}
    config = Config()
    table = {"k": [3]}

    class Inner:
        deep = 21

    @functools.cached_property
    def lazy(self):
        return 22

    @functools.lru_cache
    def kept(self):
        return 23

    def listed(self, of=[24]):
        return of

def scale(x):
    return x * SCALE

@env.task
def main(x: int) -> int:
    return scale(x)

@env.task
def configured(x: int) -> int:
    return x * Config().rate * Plain().depth if Holder.allowed else Kind.A
"""


def test_a_script_has_the_parts_that_it_has_when_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(SCRIPT + "if __name__ == '__main__': print(bodies_of(main.spec))")
    imports = "import flow; print(flow.bodies_of(flow.main.spec, main='flow'))"
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    said = [
        subprocess.check_output([sys.executable, *words], env=environ, text=True)
        for words in (["-c", imports], [str(tmp_path / "flow.py")])
    ]
    assert said[0] == said[1] != "None\n"


def test_a_digest_does_not_depend_on_whether_the_module_is_run_or_imported(tmp_path: Path) -> None:
    shown = "print(*[read_body(task.spec.func).digest for task in (main, configured)])"
    (tmp_path / "flow.py").write_text(f"{SCRIPT}if __name__ == '__main__': {shown}")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    script, module = (
        subprocess.check_output([sys.executable, *words], env=environ, text=True).split()
        for words in ([str(tmp_path / "flow.py")], ["-c", f"from flow import *; {shown}"])
    )
    assert script == module and len(set(script)) == 2


def test_what_the_classes_of_its_module_hold_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flow.py"
    file.touch()

    def digests(old: str = "", new: str = "") -> list[str]:
        module = ModuleType("flow")
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, "flow", module)
        exec(compile(SCRIPT.replace(old, new), str(file), "exec"), vars(module))
        return [read_body(task.spec.func).digest for task in (module.main, module.configured)]

    edits = [("= 11", "= 0"), ("= 12", "= 0"), ("= 0.5", "= 0"), ("[1, 2]", "[1]"), ('"c"', '"d"'), ("[3]", "[4]")]
    edits += [("= 21", "= 0"), ("return 22", "return 0"), ("return 23", "return 0"), ("of=[24]", "of=[0]")]
    found = [digests(), *(digests(*edit) for edit in edits)]
    assert len({configured for _, configured in found}) == len(found)
    assert {main for main, _ in found} == {digests()[0]}
