"""Count what Python's standard library is made of: one action per package and one per file.

The root gathers over packages, each package maps over its files, and the rows become an Arrow table and a Parquet file,
which is stored with the run.
"""

from __future__ import annotations

import ast
import asyncio
import sysconfig
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

import flyte_ray as flyte
from flyte_ray.io import File

env = flyte.TaskEnvironment("census")

COUNTS = ["lines", "functions", "classes", "documented"]


class FileRow(BaseModel):
    """What one source file holds; `documented` counts its functions and classes with a docstring."""

    package: str
    path: str
    lines: int = 0
    functions: int = 0
    classes: int = 0
    documented: int = 0
    parsed: bool = True


class PackageRow(BaseModel):
    """What one package holds; `docstring_coverage` is the documented part of its functions and classes, 0 to 1."""

    package: str
    files: int
    lines: int
    functions: int
    classes: int
    documented: int
    docstring_coverage: float


class Summary(BaseModel):
    """What all files hold together, and their rows."""

    files: int
    unparsable: int
    lines: int
    parquet: File
    packages: list[PackageRow]


def find_packages(library: Path) -> dict[str, list[str]]:
    """Source files by package; modules that are a single file go under one name."""
    packages: dict[str, list[str]] = {}
    for path in sorted(library.rglob("*.py")):
        package, *inside = path.relative_to(library).parts
        if package not in ("site-packages", "dist-packages"):
            packages.setdefault(package if inside else "(modules)", []).append(str(path))
    return packages


@env.task
def parse_file(package: str, path: str) -> FileRow:
    data = Path(path).read_bytes()
    try:
        nodes = list(ast.walk(ast.parse(data)))
    except (SyntaxError, ValueError):  # some of the library's own tests are wrong on purpose
        return FileRow(package=package, path=path, lines=data.count(b"\n"), parsed=False)
    functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    counts = {"lines": data.count(b"\n"), "functions": len(functions), "classes": len(classes)}
    documented = sum(ast.get_docstring(node) is not None for node in [*functions, *classes])
    return FileRow(package=package, path=path, documented=documented, **counts)


@env.task
def parse_package(package: str, paths: list[str]) -> list[FileRow]:
    return list(flyte.map(parse_file, [package] * len(paths), paths, return_exceptions=False))


@env.task
def join(rows: list[FileRow]) -> pa.Table:
    return pa.Table.from_pylist([row.model_dump() for row in rows])


@env.task
def save(table: pa.Table) -> File:
    path = Path(tempfile.mkdtemp()) / "census.parquet"
    pq.write_table(table, path)
    return File.from_local_sync(path)


@env.task
def summarize(table: pa.Table, parquet: File) -> Summary:
    sums = table.group_by("package").aggregate([("path", "count"), *((name, "sum") for name in COUNTS)])
    counts = sums.rename_columns(["package", "files", *COUNTS]).sort_by("package")
    things = pc.max_element_wise(pc.add(counts["functions"], counts["classes"]), 1.0)  # 1: a package may hold none
    counts = counts.append_column("docstring_coverage", pc.round(pc.divide(counts["documented"], things), 3))
    return Summary(
        files=len(table),
        unparsable=pc.sum(pc.invert(table["parsed"])).as_py(),
        lines=pc.sum(table["lines"]).as_py(),
        parquet=parquet,
        packages=counts.to_pylist(),
    )


@env.task
async def census(limit: int = 0) -> Summary:
    """Walk the standard library; `limit` bounds the number of packages (0: all)."""
    packages = find_packages(Path(sysconfig.get_paths()["stdlib"]))
    chosen = list(packages.items())[: limit or None]
    found = await asyncio.gather(*(parse_package.aio(package, paths) for package, paths in chosen))
    table = await join.aio([row for rows in found for row in rows])
    return await summarize.aio(table, await save.aio(table))
