"""The layer table of docs/architecture.md holds for every import, also those inside functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
MODULES = sorted((TOP / "flyte_ray").rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
VAGUE = {"utils", "common", "helpers", "core"}
SEAMS = {"ray": "cluster", "fsspec": "storage", "s3fs": "storage", "click": "cli", "rich": "cli"}


def layers() -> dict[str, int]:
    text = (TOP / "docs" / "architecture.md").read_text()
    rows = text.split("```layers\n")[1].split("```")[0].split("\n")
    return {name: depth for depth, row in enumerate(rows) for name in row.split()}


def imported(path: Path, text: str) -> set[str]:
    """Full names of the modules that a module imports, also by relative imports and inside functions."""
    inside = path.relative_to(TOP).parts[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1] if node.level else ()
            start = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{start}.{alias.name}" for alias in node.names} if start == "flyte_ray" else {start}
    return found


def breaches(path: Path, text: str) -> list[str]:
    """Imports of a module that the table does not allow."""
    depth = layers()
    package = path.relative_to(TOP / "flyte_ray").parts[0].removesuffix(".py")
    if package == "__init__":
        return []  # the public face, above all
    if package not in depth:
        return [f"flyte_ray/{package} has no place in the table"]
    found = []
    for name in sorted(imported(path, text)):
        head, *rest = name.split(".")
        if head in SEAMS and package != SEAMS[head]:
            found.append(f"{name}: only flyte_ray/{SEAMS[head]} may")
        elif head == "flyte_ray" and (not rest or rest[0] not in depth):
            found.append(f"{name} is the public face, which is above all")
        elif head == "flyte_ray" and rest[0] != package and depth[rest[0]] <= depth[package]:
            found.append(f"{name} is not below it")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_module_imports_only_downwards(path: Path) -> None:
    assert not breaches(path, path.read_text())


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("ledger/x.py", "from flyte_ray.runtime.slot import Slot", ["flyte_ray.runtime.slot is not below it"]),
        ("ledger/x.py", "def f():\n    from ..runtime import slot", ["flyte_ray.runtime is not below it"]),
        ("ledger/x.py", "from ..storage import Store\nfrom . import log\nfrom flyte_ray import errors", []),
        ("cluster/x.py", "import flyte_ray", ["flyte_ray is the public face, which is above all"]),
        ("cluster/x.py", "from flyte_ray import run", ["flyte_ray.run is the public face, which is above all"]),
        ("newcomer/x.py", "", ["flyte_ray/newcomer has no place in the table"]),
        ("api/x.py", "import ray.util", ["ray.util: only flyte_ray/cluster may"]),
    ],
)
def test_what_the_table_does_not_allow_is_seen(module: str, text: str, found: list[str]) -> None:
    assert breaches(TOP / "flyte_ray" / module, text) == found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_module_says_its_duty_and_stays_small(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path.name} has no docstring"
    assert text.count("\n") <= 400, f"{path.name} holds more than one idea"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_module_is_named_after_what_it_holds(path: Path) -> None:
    vague = VAGUE & {part.removesuffix(".py") for part in path.relative_to(TOP).parts}
    assert not vague, f"{path.relative_to(TOP)}: {vague} says nothing of what is in it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_function_fits_on_a_screen(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTIONS)]
    lengths = {f"{node.name}, line {node.lineno}": (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    long = {name: lines for name, lines in lengths.items() if lines > 60}
    assert not long, f"{path.relative_to(TOP)} has functions of more than 60 lines: {long}"
