"""Interfaces of functions and binding of calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.interface import Interface, Parameter, bind, build_interface

if TYPE_CHECKING:
    from decimal import Decimal


def add(x: int, y: int = 2) -> int:
    return x + y


def test_annotations_written_as_text_are_resolved() -> None:
    assert build_interface(add) == Interface(
        parameters=(Parameter("x", int, False), Parameter("y", int, True, 2)), returns=int, is_async=False
    )


def test_annotated_extras_and_async_are_kept() -> None:
    async def f(x: Annotated[int, "unit"], *, verbose: bool = False) -> None: ...

    interface = build_interface(f)
    assert interface.is_async
    assert interface.returns is None
    assert interface.parameters[0].annotation == Annotated[int, "unit"]
    assert interface.parameters[1].keyword_only


def test_missing_annotations_are_any_and_empty() -> None:
    def f(x):  # type: ignore[no-untyped-def]
        return x

    assert build_interface(f) == Interface((Parameter("x", Any, False),), inspect.Signature.empty, False)


def test_a_class_of_the_declaring_function_is_found() -> None:
    @dataclass
    class Local:
        a: int

    def f(x: Local) -> Local:
        return x

    assert build_interface(f).returns is Local


def test_a_name_that_exists_only_for_type_checkers_is_refused() -> None:
    def f(x: Decimal) -> int:
        return int(x)

    with pytest.raises(InvalidDeclaration, match="Decimal.*TYPE_CHECKING"):
        build_interface(f)


def _variadic(*items: int) -> None: ...


def _keywords(**items: int) -> None: ...


def _positional(x: int, /) -> None: ...


@pytest.mark.parametrize(("func", "named"), [(_variadic, r"\*items"), (_keywords, r"\*\*items"), (_positional, "'x'")])
def test_parameters_without_names_are_refused(func: Callable[..., Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_interface(func)


def test_defaults_are_filled_in() -> None:
    assert list(bind(build_interface(add), "env.add", (), {"x": 1}).items()) == [("x", 1), ("y", 2)]
    assert bind(build_interface(add), "env.add", (1,), {"y": 5}) == {"x": 1, "y": 5}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "needs a value for parameter 'x'"),
        ((1, 2, 3), {}, "takes 2 positional arguments, got 3"),
        ((1,), {"x": 2}, "one value for parameter 'x', got two"),
        ((1,), {"z": 2}, "no parameter 'z'"),
    ],
)
def test_a_wrong_call_names_task_and_parameter(args: tuple[int, ...], kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(TypeError, match=f"'env.add'.*{message}"):
        bind(build_interface(add), "env.add", args, kwargs)


def test_a_keyword_only_parameter_takes_no_position() -> None:
    def f(x: int, *, y: int) -> int:
        return x + y

    interface = build_interface(f)
    with pytest.raises(TypeError, match="takes 1 positional"):
        bind(interface, "env.f", (1, 2), {})
    assert bind(interface, "env.f", (1,), {"y": 2}) == {"x": 1, "y": 2}


def test_a_tuple_of_any_length_is_no_output() -> None:
    def pair() -> tuple[int, str]:
        return 1, "a"

    def many() -> tuple[int, ...]:
        return (1, 2)

    assert build_interface(pair).returns == tuple[int, str]
    with pytest.raises(TypeError, match=r"got tuple\[int, \.\.\.\] for .*many.* Write list\[\.\.\.\]"):
        build_interface(many)
