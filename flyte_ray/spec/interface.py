"""The interface of a task: parameters and return type of its function, and binding of a call to them."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from flyte_ray.errors import InvalidDeclaration

ITS_OWN: Final = type("ItsOwn", (), {"__repr__": lambda self: "its own default"})()
"""Default of a parameter that the function fills in itself, because its value is not known here."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a task."""

    name: str
    annotation: Any
    """Resolved annotation with its `Annotated` extras; `typing.Any` if there is none."""
    has_default: bool
    default: Any = inspect.Parameter.empty
    """Meaningful only if `has_default`."""
    keyword_only: bool = False


@dataclass(frozen=True)
class Interface:
    """Parameters in order of declaration, and what the function returns."""

    parameters: tuple[Parameter, ...]
    returns: Any
    """Resolved return annotation; `inspect.Signature.empty` if there is none."""
    is_async: bool

    @property
    def outputs(self) -> int:
        """How many outputs it declares: each element of `tuple[A, B]` is one, any other annotation is one value."""
        return len(typing.get_args(self.returns)) if typing.get_origin(self.returns) is tuple else 1


def build_interface(func: Callable[..., Any]) -> Interface:
    """Read the interface of a function.

    Args:
        func: Function with named parameters only. Annotations written as text are resolved where the function, or the
            code that declares it, can see the names.

    Returns:
        Its interface.

    Raises:
        InvalidDeclaration: `func` has `*args`, `**kwargs` or positional-only parameters, or an annotation names
            something that cannot be found.
        TypeError: The function returns `tuple[X, ...]`: a tuple's elements are outputs, which Flyte counts beforehand.

    """
    signature = inspect.signature(func)
    name = getattr(func, "__qualname__", repr(func))
    hints = _resolve_hints(func, name)
    parameters = tuple(_parameter(name, entry, hints) for entry in signature.parameters.values())
    returns = hints.get("return", inspect.Signature.empty)
    # get_type_hints turns a written None into NoneType; the declared form is the one people compare with.
    if returns is type(None):
        returns = None
    if typing.get_origin(returns) is tuple and Ellipsis in typing.get_args(returns):
        raise TypeError(
            f"A task's outputs must be countable from its annotation, got {returns} for '{name}', as many outputs as"
            f" it has elements. Write list[...] in its place."
        )
    return Interface(parameters, returns, inspect.iscoroutinefunction(func))


def _parameter(func_name: str, entry: inspect.Parameter, hints: Mapping[str, Any]) -> Parameter:
    if entry.kind in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD):
        stars = "*" if entry.kind is entry.VAR_POSITIONAL else "**"
        raise InvalidDeclaration(
            f"A task's parameters must have names, got '{stars}{entry.name}' in '{func_name}'. "
            f"Use a parameter of type list or dict in its place."
        )
    if entry.kind is entry.POSITIONAL_ONLY:
        raise InvalidDeclaration(
            f"A task's inputs are recorded by name, got the positional-only parameter '{entry.name}' in "
            f"'{func_name}'. Remove the '/' from the signature."
        )
    has_default = entry.default is not entry.empty
    return Parameter(
        name=entry.name,
        annotation=hints.get(entry.name, Any),
        has_default=has_default,
        default=entry.default,
        keyword_only=entry.kind is entry.KEYWORD_ONLY,
    )


def _resolve_hints(func: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(func, include_extras=True)
    except NameError:
        pass
    try:
        # Tasks declared inside a function may name its local classes; those live in the frames that called us.
        visible = _names_in_sight(sys._getframe(1), getattr(func, "__globals__", {}))
        return typing.get_type_hints(func, localns=visible, include_extras=True)
    except NameError as error:
        raise InvalidDeclaration(
            f"The annotations of '{name}' must name things that exist when it is declared: {error}. "
            f"Import the name at module level, not under TYPE_CHECKING."
        ) from error


def _names_in_sight(frame: FrameType | None, module_globals: dict[str, Any]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    while frame is not None:
        if frame.f_globals is module_globals:
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names


def bind(interface: Interface, task_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Bind a call's arguments to the parameters.

    Args:
        interface: Interface of the task.
        task_name: Named in errors.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Returns:
        A value for each parameter, in order of declaration, defaults filled in as far as they are known.

    Raises:
        TypeError: An argument is missing, unexpected or given twice.

    """
    parameters = interface.parameters
    given = len(args)
    if given > len(parameters) or (given and parameters[given - 1].keyword_only):
        places = sum(not parameter.keyword_only for parameter in parameters)
        raise TypeError(
            f"task '{task_name}' takes {places} positional arguments, got {given}. "
            f"Its parameters are: {_listing(interface)}."
        )
    values: dict[str, Any] = {}
    used = 0
    for index, parameter in enumerate(parameters):
        name = parameter.name
        if index < given:
            if name in kwargs:
                raise TypeError(
                    f"task '{task_name}' expects one value for parameter '{name}', got two. "
                    f"Pass it by position or by name."
                )
            values[name] = args[index]
        elif name in kwargs:
            values[name] = kwargs[name]
            used += 1
        elif parameter.has_default:
            if parameter.default is not ITS_OWN:
                values[name] = parameter.default
        else:
            raise TypeError(
                f"task '{task_name}' needs a value for parameter '{name}', got none. "
                f"Its parameters are: {_listing(interface)}."
            )
    if used != len(kwargs):
        unexpected = next(name for name in kwargs if name not in values)
        raise TypeError(
            f"task '{task_name}' has no parameter '{unexpected}'. Its parameters are: {_listing(interface)}."
        )
    return values


def _listing(interface: Interface) -> str:
    return ", ".join(parameter.name for parameter in interface.parameters) or "none"
