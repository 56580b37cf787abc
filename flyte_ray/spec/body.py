"""Digest what a function does: its own body and the project's functions that it calls.

Followed are functions, classes and plain constants of the project that the body names, directly or as `module.name`,
and what those name in turn; not installed packages, and nothing that is looked up at run time by other means.
As a whole, for the cache's version; or in parts, so that one can say what an edit has changed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import linecache
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any, Final

from flyte_ray.spec.origin import is_project_file

_DESCRIPTORS: Final = (staticmethod, classmethod, property, MemberDescriptorType)
"""Those that a class has for its methods, which are read by themselves, and for its slots."""
_FIELDS: Final = ("__dataclass_fields__", "__pydantic_fields__")
_PLAIN: Final = (int, float, str, bytes, bool, type(None))


@dataclass(frozen=True)
class Body:
    """What a function does."""

    digest: str
    """Hex sha256; comments, white space and decorators do not count."""
    follows: tuple[str, ...]
    """Qualified names of the project's functions and classes that it calls, sorted."""


def read_body(func: Callable[..., Any]) -> Body:
    """Digest a function and all of the project that it calls.

    Its module is read as `__main__` is: the digest is the same whether that was imported or run as a script.
    """
    module = inspect.unwrap(func).__module__
    own, others, constants = _read(func, main=module)
    parts = [own[1], repr(others), repr(constants)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Body(digest, tuple(sorted({re.sub(r"^__main__\.", f"{module}.", name) for name, _ in others})))


Parts = tuple[tuple[str, str], ...]
"""Qualified names of what a function is made of, and a short digest of each: itself first, the others sorted."""


def read_parts(
    func: Callable[..., Any], task_of: Callable[[Any], tuple[str, Callable[..., Any]] | None], main: str = "__main__"
) -> Parts:
    """Digest a function and what it calls, each by itself.

    Args:
        func: The function.
        task_of: Gives the name and the function of what is a task: it is one part, with all that it calls.
        main: The module that is taken for `__main__`: imported or run as a script, it has the same parts then.

    """
    tasks: dict[str, Callable[..., Any]] = {}

    def goes_on(value: Any) -> bool:
        found = task_of(value)
        if found is not None and inspect.unwrap(value) is not inspect.unwrap(func):
            tasks[f"task {found[0]}"] = found[1]
        return found is None

    own, others, constants = _read(func, goes_on, main)
    texts: dict[str, str] = {}
    for name, text in (*others, *constants):
        # Two lambdas, or two wrappers of one decorator, have one name.
        texts[name] = texts.get(name, "") + text
    for name, called in tasks.items():
        texts[name] = repr(_read(called, main=main))
    return tuple((name, _short(text)) for name, text in (own, *sorted(texts.items())))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


_Named = tuple[str, str]


def _read(
    func: Callable[..., Any], goes_on: Callable[[Any], bool] = lambda value: True, main: str = "__main__"
) -> tuple[_Named, list[_Named], list[_Named]]:
    """Return names and texts of a function, of what it calls where that `goes_on`, and of the constants it names."""
    seen: dict[int, _Named] = {}
    constants: dict[str, str] = {}
    start = inspect.unwrap(func)
    open_: list[Any] = [start]
    while open_:
        thing = open_.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = _name(thing, main), _text(thing, main)
        for used, value in _uses(thing, main):
            if _is_plain(value):
                constants[used] = _describe_constant(value)
            elif goes_on(value):
                open_.append(inspect.unwrap(value))
    own = seen.pop(id(start))
    # By text too: two lambdas, or two wrappers of one decorator, have one name.
    return own, sorted(seen.values()), sorted(constants.items())


def _name(thing: Any, main: str) -> str:
    return f"{_module(thing, main)}.{thing.__qualname__}"


def _module(thing: Any, main: str) -> str:
    return "__main__" if thing.__module__ == main else str(thing.__module__)


def _text(thing: Any, main: str) -> str:
    if _module(thing, main) != "__main__":  # that travels by value: where it arrives there is no source
        nodes = _nodes(thing)
        if nodes:
            return ast.dump(ast.Module(nodes, []), include_attributes=False)
    functions, others = (
        ([thing], []) if isinstance(thing, FunctionType) else (_methods(thing), _attributes(thing, main))
    )
    return "\n".join([_name(thing, main), *(_compiled(func, main) for func in functions), *others])


def _nodes(thing: Any) -> list[ast.stmt]:
    """Find where a function or class is declared; nothing for functions made by exec, and for lambdas."""
    file = _file(thing)
    if file is None:
        return []
    linecache.checkcache(file)
    declared = _declarations("".join(linecache.getlines(file, getattr(thing, "__globals__", None))))
    return declared.get(thing.__code__.co_firstlineno if isinstance(thing, FunctionType) else thing.__qualname__, [])


@functools.lru_cache(maxsize=8)  # the functions that a task calls stand in few files
def _declarations(source: str) -> dict[int | str, list[ast.stmt]]:
    """Index a file's functions by their first lines, decorators included, and its classes by their qualified names."""
    found: dict[int | str, list[ast.stmt]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([child.lineno, *(each.lineno for each in child.decorator_list)])
                found.setdefault(first, []).append(child)
                child.decorator_list = []
                inner = f"{prefix}{child.name}.<locals>."
            elif isinstance(child, ast.ClassDef):
                found.setdefault(f"{prefix}{child.name}", []).append(child)
                inner = f"{prefix}{child.name}."
            visit(child, inner)

    try:
        visit(ast.parse(source), "")
    except (SyntaxError, ValueError, RecursionError):  # edited since it was imported, or deeper than Python can follow
        return {}
    return found


def _compiled(func: FunctionType, main: str) -> str:
    defaults = [*(func.__defaults__ or ()), *sorted((func.__kwdefaults__ or {}).items())]
    return f"{describe_code(func.__code__)}{[_describe_value(each, main) for each in defaults]}"


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


def _attributes(cls: type, main: str) -> list[str]:
    """Write what a class holds beside its methods: constants, members of an enum, its fields and their defaults."""
    own = {name: value for name, value in vars(cls).items() if not name.startswith(("__", "_abc_"))}
    values = [(name, value) for name, value in own.items() if not isinstance(value, (FunctionType, *_DESCRIPTORS))]
    for name in _FIELDS:
        fields = vars(cls).get(name) or {}
        values += [(f"{name}.{key}", (field.default, field.default_factory)) for key, field in fields.items()]
    annotated = (vars(cls).get("__annotations__") or {}).items()

    def describe(name: str, value: Any) -> str:
        is_inner = isinstance(value, type) and value.__qualname__ == f"{cls.__qualname__}.{name}"
        return _text(value, main) if is_inner else _describe_value(value, main)

    notes = [f"{name}: {_without_name(repr(note), main)}" for name, note in annotated]
    return [*notes, *(f"{name} = {describe(name, value)}" for name, value in values)]


def _describe_value(value: Any, main: str) -> str:
    if _is_plain(value):
        return _describe_constant(value)
    if isinstance(value, (set, frozenset)):  # its order differs between processes
        return repr(sorted(_describe_value(part, main) for part in value))
    if isinstance(value, (list, tuple)):
        return repr([_describe_value(part, main) for part in value])
    if isinstance(value, dict):
        return repr([(_describe_value(key, main), _describe_value(part, main)) for key, part in value.items()])
    if isinstance(value, FunctionType):
        return _compiled(value, main)
    try:
        text = repr(value)
    except Exception:  # of whatever class of the user's
        text = type(value).__qualname__
    return _without_name(re.sub(r" at 0x[0-9a-fA-F]+", "", text), main)


def _without_name(text: str, main: str) -> str:
    return re.sub(rf"(?<![\w.]){re.escape(main)}\.", "__main__.", text)


def _uses(thing: Any, main: str) -> Iterator[tuple[str, Any]]:
    """Yield functions, classes and constants of the project that a function, or a class's methods, names."""
    if isinstance(thing, type):
        yield from ((_name(base, main), found) for base in thing.__bases__ for found in _followed(base))
    functions = [thing] if isinstance(thing, FunctionType) else _methods(thing)
    for func in functions:
        names = {*_names(func.__code__), *_annotated(func)}
        scope = {**func.__globals__, **_closure(func)}
        for name in sorted(names & scope.keys()):
            value = scope[name]
            if isinstance(value, ModuleType) and is_project_file(getattr(value, "__file__", None)):
                inside = {part: getattr(value, part) for part in names if hasattr(value, part)}
                yield from ((f"{name}.{part}", found) for part, of in inside.items() for found in _followed(of))
            else:
                yield from ((f"{_module(func, main)}.{name}", found) for found in _followed(value))


def _followed(value: Any) -> Iterator[Any]:
    if _is_plain(value):
        yield value
        return
    # Another task is followed too: its outcome is a part of this one's.
    inner = inspect.unwrap(value) if callable(value) else value
    if isinstance(inner, (FunctionType, type)) and (inner.__module__ == "__main__" or is_project_file(_file(inner))):
        yield value


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, (tuple, frozenset)) else isinstance(value, _PLAIN)


def _file(thing: Any) -> str | None:
    try:
        return inspect.getsourcefile(thing)
    except (TypeError, OSError):  # built in, or of a module without a file
        return None


def _methods(cls: type) -> list[FunctionType]:
    """List a class's functions, also those behind static methods, class methods, properties and caches of functools."""
    found = []
    for value in vars(cls).values():
        parts = [
            getattr(value, name) for name in ("__func__", "fget", "fset", "func", "__wrapped__") if name in dir(value)
        ]
        found += [part for part in (value, *parts) if isinstance(part, FunctionType)]
    return found


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
