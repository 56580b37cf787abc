"""Count what Python's standard library is made of: one action per package and one per file."""

from __future__ import annotations

import ast
import asyncio
import sysconfig
from pathlib import Path

from pydantic import BaseModel

import flyte_ray as flyte

env = flyte.TaskEnvironment("census")


class FileRow(BaseModel):
    """What one source file holds."""

    package: str
    lines: int = 0
    functions: int = 0
    classes: int = 0
    documented: int = 0
    parsed: bool = True


class Summary(BaseModel):
    """What all files hold together; `docstring_coverage` is the documented part of functions and classes."""

    files: int
    unparsable: int
    lines: int
    functions: int
    classes: int
    docstring_coverage: dict[str, float]


def has_docstring(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and bool(ast.get_docstring(node))


@env.task
def parse_file(package: str, path: str) -> FileRow:
    data = Path(path).read_bytes()
    try:
        nodes = list(ast.walk(ast.parse(data)))
    except (SyntaxError, ValueError):
        return FileRow(package=package, parsed=False)
    return FileRow(
        package=package,
        lines=data.count(b"\n"),
        functions=sum(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        documented=sum(map(has_docstring, nodes)),
    )


@env.task
async def parse_package(package: str, paths: list[str]) -> list[FileRow]:
    return list(await asyncio.gather(*(parse_file.aio(package, path) for path in paths)))


@env.task
async def census(limit: int = 0) -> Summary:
    """Walk the standard library; `limit` bounds the number of packages, 0 takes all."""
    library = Path(sysconfig.get_paths()["stdlib"])
    packages: dict[str, list[str]] = {}
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if parts[0] != "site-packages":
            packages.setdefault(parts[0] if len(parts) > 1 else "(modules)", []).append(str(path))
    chosen = list(packages.items())[: limit or None]
    found = await asyncio.gather(*(parse_package(package, paths) for package, paths in chosen))
    rows = [row for group in found for row in group]
    coverage = {}
    for (package, _), group in zip(chosen, found, strict=True):
        things = sum(row.functions + row.classes for row in group)
        coverage[package] = round(sum(row.documented for row in group) / things, 3) if things else 0.0
    return Summary(
        files=len(rows),
        unparsable=sum(not row.parsed for row in rows),
        lines=sum(row.lines for row in rows),
        functions=sum(row.functions for row in rows),
        classes=sum(row.classes for row in rows),
        docstring_coverage=coverage,
    )
