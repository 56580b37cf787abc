"""Read a task's code as its run has it, without running any of it."""

from __future__ import annotations

import ast
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.paths import code_key
from flyte_ray.storage import Store

MOST_BYTES: Final = 2 << 20
"""Largest source file that is looked into."""
MOST_BUNDLES: Final = 4
"""Bundles whose sources are kept, by the digest of their content."""
_kept: Final[dict[str, dict[str, str]]] = {}
_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+)')
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def find_code(store: Store, marker: str | None, source: str, ref: TaskRef) -> dict[str, Any] | None:
    """Find a task's function in the code bundle of its run.

    Args:
        store: The root.
        marker: Names the bundle, see `cluster/code.py`; None if the run has none.
        source: The file that the run was started from.
        ref: The task.

    Returns:
        `file` (in the project), `line` of the function with its decorators, counted from 1, and `text`; None where it
        is not found, as of a function of a notebook, which travels by value.

    """
    if not marker:
        return None
    digest, *_ = marker.split(":")
    files = _sources(store, digest)
    for name in _candidates(files, _module_of(ref), source):
        found = _function(files[name], ref.qualname)
        if found is not None:
            return {"file": name, "line": found[0], "text": found[1]}
    return None


def failing_line(found: Mapping[str, Any], traceback: str) -> int | None:
    """Return the innermost line of found code that a traceback names; None if it names none."""
    first = found["line"]
    lines = range(first, first + len(found["text"].splitlines()))
    named = [int(line) for file, line in _FRAME.findall(traceback) if f"/{file}".endswith(f"/{found['file']}")]
    return next((line for line in reversed(named) if line in lines), None)


def _module_of(ref: TaskRef) -> str:
    if ref.module:
        return ref.module
    first = ref.bodies[0][0] if ref.bodies else ""
    return first.removesuffix(f".{ref.qualname}")


def _candidates(files: Iterable[str], module: str, source: str) -> Iterator[str]:
    """Yield the files in which a module may lie, the likeliest first."""
    path, own = module.replace(".", "/"), source.rpartition("/")[2]
    ends = (f"{path}.py", f"{path}/__init__.py", own)
    for end in ends:
        yield from (name for name in files if name == end or name.endswith(f"/{end}"))


def _sources(store: Store, digest: str) -> dict[str, str]:
    """Return the source files of a bundle by their paths; those of the last bundles are kept."""
    known = _kept.get(digest)
    if known is None:
        while len(_kept) >= MOST_BUNDLES:
            _kept.pop(next(iter(_kept)), None)
        known = _kept[digest] = _unzip(store, digest)
    return known


def _unzip(store: Store, digest: str) -> dict[str, str]:
    try:
        data = store.get(code_key(digest))
    except ObjectMissing:
        return {}
    with zipfile.ZipFile(io.BytesIO(data)) as bundle:
        infos = [info for info in bundle.infolist() if info.filename.endswith(".py") and info.file_size <= MOST_BYTES]
        return {info.filename: bundle.read(info).decode("utf-8", "replace") for info in infos}


def _function(text: str, qualname: str) -> tuple[int, str] | None:
    try:
        scope: Any = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for name in qualname.replace("<locals>.", "").split("."):
        inner = (node for node in ast.walk(scope) if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node is not scope)
        scope = next((node for node in inner if node.name == name), None)
        if scope is None:
            return None
    start = min([scope.lineno, *(each.lineno for each in scope.decorator_list)])
    return start, "\n".join(text.splitlines()[start - 1 : scope.end_lineno])
