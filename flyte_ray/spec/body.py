"""Digest what a function does: its own body and the project's functions that it calls.

Followed are functions, classes and plain constants of the project that the body names, directly or as `module.name`,
and what those name in turn; not installed packages, and nothing that is looked up at run time by other means.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

_PLAIN: Final = (int, float, str, bytes, bool, type(None))
_INSTALLED: Final = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_OWN: Final = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Body:
    """What a function does."""

    digest: str
    """Hex sha256; comments, white space and decorators do not count."""
    follows: tuple[str, ...]
    """Qualified names of the project's functions and classes that it calls, sorted."""


def read_body(func: Callable[..., Any]) -> Body:
    """Digest a function and all of the project that it calls."""
    seen: dict[int, tuple[str, str]] = {}
    constants: dict[str, str] = {}
    start = inspect.unwrap(func)
    open_: list[Any] = [start]
    while open_:
        thing = open_.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = _name(thing), _text(thing)
        for used, value in _uses(thing):
            if isinstance(value, (FunctionType, type)):
                open_.append(value)
            else:
                constants[used] = _describe_constant(value)
    own = seen.pop(id(start))
    # By text too: two lambdas, or two wrappers of one decorator, have one name.
    others = sorted(seen.values())
    parts = [own[1], repr(others), repr(sorted(constants.items()))]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Body(digest, tuple(sorted({name for name, _ in others})))


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _text(thing: Any) -> str:
    if thing.__module__ != "__main__":  # that travels by value: where it arrives there is no source
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
        except (OSError, TypeError, SyntaxError):
            pass  # functions made by exec, a lambda inside an expression
        else:
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    node.decorator_list = []
            return ast.dump(tree, include_attributes=False)
    functions = [thing] if isinstance(thing, FunctionType) else _methods(thing)
    return "\n".join([_name(thing), *map(_compiled, functions)])


def _compiled(func: FunctionType) -> str:
    defaults = [*(func.__defaults__ or ()), *sorted((func.__kwdefaults__ or {}).items())]
    return f"{describe_code(func.__code__)}{[_describe_constant(each) for each in defaults if _is_plain(each)]}"


def describe_code(code: CodeType, doc: str | None = None) -> str:
    """Write what compiled code does, the same in every process; `doc` is a docstring that does not count."""
    constants = [_describe_constant(value) for value in code.co_consts if doc is None or value != doc]
    return repr((code.co_code.hex(), constants, code.co_names))


def _describe_constant(value: object) -> str:
    if isinstance(value, CodeType):
        return describe_code(value)
    if isinstance(value, frozenset):  # its order differs between processes
        return repr(sorted(map(_describe_constant, value)))
    if isinstance(value, tuple):
        return repr([_describe_constant(part) for part in value])
    return repr(value)


def _uses(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield functions, classes and constants of the project that a function, or a class's methods, names."""
    if isinstance(thing, type):
        yield from ((_name(base), found) for base in thing.__bases__ for found in _followed(base))
    functions = [thing] if isinstance(thing, FunctionType) else _methods(thing)
    for func in functions:
        names = {*_names(func.__code__), *_annotated(func)}
        scope = {**func.__globals__, **_closure(func)}
        for name in sorted(names & scope.keys()):
            value = scope[name]
            if isinstance(value, ModuleType) and _is_project(getattr(value, "__file__", None)):
                inside = {part: getattr(value, part) for part in names if hasattr(value, part)}
                yield from ((f"{name}.{part}", found) for part, of in inside.items() for found in _followed(of))
            else:
                yield from ((f"{func.__module__}.{name}", found) for found in _followed(value))


def _followed(value: Any) -> Iterator[Any]:
    if _is_plain(value):
        yield value
        return
    # Another task is followed too: its outcome is a part of this one's.
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, (FunctionType, type)) and (value.__module__ == "__main__" or _is_project(_file(value))):
        yield value


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, (tuple, frozenset)) else isinstance(value, _PLAIN)


def _file(thing: Any) -> str | None:
    try:
        return inspect.getsourcefile(thing)
    except (TypeError, OSError):  # built in, or of a module without a file
        return None


def _methods(cls: type) -> list[FunctionType]:
    """List a class's functions, also those behind static methods, class methods and properties."""
    plain = (getattr(value, "__func__", getattr(value, "fget", value)) for value in vars(cls).values())
    return [value for value in plain if isinstance(value, FunctionType)]


def _annotated(func: FunctionType) -> set[str]:
    """Name what stands in annotations: a method may be called of what is known by its annotation only."""
    texts = (note if isinstance(note, str) else getattr(note, "__name__", "") for note in func.__annotations__.values())
    return {name for text in texts for name in re.findall(r"\w+", text)}


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)


def _closure(func: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return found


def _is_project(file: str | None) -> bool:
    return file is not None and not file.startswith((*_INSTALLED, _OWN))
