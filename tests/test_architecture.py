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


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_a_module_imports_only_downwards(path: Path) -> None:
    depth = layers()
    package = path.relative_to(TOP / "flyte_ray").parts[0].removesuffix(".py")
    for name in imported(path):
        head, *rest = name.split(".")
        if head in SEAMS:
            assert package == SEAMS[head], f"{path.name} imports {name}: only flyte_ray/{SEAMS[head]} may"
        if head == "flyte_ray" and rest and package in depth and rest[0] in depth and rest[0] != package:
            assert depth[rest[0]] > depth[package], f"{path.name} imports {name}, which is not below it"


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
