"""Types that a user or a package teaches us to store, and hashes that users compute."""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pytest
from google.protobuf.struct_pb2 import Struct

import flyte_ray as flyte
from flyte_ray.types import TypeEngine, TypeTransformer, TypeTransformerFailedError, transformers

env = flyte.TaskEnvironment("custom")
ran: list[str] = []


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.cents == self.cents


class Tip(Money):
    pass


class MoneyTransformer(TypeTransformer[Money]):
    def __init__(self) -> None:
        super().__init__("money", Money)

    async def to_literal(self, python_val: Money, python_type: type[Money], expected: Any = None) -> Any:
        await asyncio.sleep(0)
        return {"cents": python_val.cents, "as table": pa.table({"cents": [python_val.cents]})}

    async def to_python_value(self, lv: Any, expected_python_type: type[Money]) -> Money:
        assert lv["as table"].num_rows == 1
        return expected_python_type(lv["cents"])


TypeEngine.register(MoneyTransformer())


class Broken:
    pass


class BrokenTransformer(TypeTransformer[Broken]):
    def to_literal(self, python_val: Broken, python_type: type[Broken], expected: Any = None) -> Any:
        if "refuse" in ran:
            raise OSError("no")
        return 1

    def to_python_value(self, lv: Any, expected_python_type: type[Broken]) -> Broken:
        raise KeyError("colour")


TypeEngine.register(BrokenTransformer("broken", Broken))


@dataclass
class Invoice:
    lines: list[Money]
    tip: Tip | None = None


@env.task(cache="auto")
def total(invoice: Invoice, more: Any) -> Money:
    ran.append("total")
    return Money(sum(line.cents for line in invoice.lines) + more["more"].cents)


@env.task
def breaks(value: Broken) -> Broken:
    return value


class FirstLetter:
    """A hash method."""

    def __init__(self) -> None:
        self._letter = ""

    def update(self, data: Any, /) -> None:
        if isinstance(data, int):
            raise TypeError("a number has no letters")
        self._letter = data["a"][0].as_py()[0] if isinstance(data, pa.Table) else str(data)[0]

    def result(self) -> str:
        return self._letter


@env.task(cache="auto")
def count(table: Annotated[pa.Table, FirstLetter()]) -> int:
    ran.append("count")
    return int(table.num_rows)


@env.task(cache="auto")
def anything(value: Annotated[Any, FirstLetter()]) -> str:
    ran.append("anything")
    return str(value)


@env.task(cache="auto")
def struct(value: Struct) -> Struct:
    ran.append("struct")
    return value


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ran.clear()
    flyte.init(root=tmp_path)
    return tmp_path


def run(task: Any, *args: Any) -> Any:
    return flyte.with_runcontext("local").run(task, *args)


def test_values_of_a_registered_type_are_stored_anywhere_in_a_value_and_are_keys_of_the_cache(root: Path) -> None:
    for _ in range(2):
        done = run(total, Invoice([Money(1), Money(2)], Tip(3)), {"more": Money(4)})
        assert done.outputs() == (Money(7),)
        assert flyte.remote.Run.get(done.name).inputs(total) == {
            "invoice": Invoice([Money(1), Money(2)], Tip(3)),
            "more": {"more": Money(4)},
        }
    assert ran == ["total"]


def test_a_wrong_value_is_refused_at_the_call(root: Path) -> None:
    with pytest.raises(TypeError, match=r"parameter 'invoice': .+ at \.lines\[0\]: expected Money, got int 1"):
        run(total, Invoice([1]), {})  # type: ignore[list-item]


def test_what_a_transformer_raises_is_told_with_its_name(root: Path) -> None:
    error = run(breaks, Broken()).error
    assert error.code == TypeTransformerFailedError.__name__
    assert "The transformer 'broken' should rebuild a Broken from int 1, but raised KeyError: 'colour'." in str(error)
    ran.append("refuse")
    with pytest.raises(TypeError, match="'value': the transformer 'broken' could not store Broken .+: OSError: no"):
        run(breaks, Broken())


def test_what_cannot_be_registered_is_refused() -> None:
    with pytest.raises(TypeError, match="expects a TypeTransformer, got type"):
        TypeEngine.register(MoneyTransformer)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="type of your own was expected, got int, which is stored as it is"):
        TypeEngine.register(BrokenTransformer("mine", int))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="should have one transformer, got 'other' beside 'money'"):
        TypeEngine.register(BrokenTransformer("other", Money))  # type: ignore[arg-type]
    TypeEngine.register(MoneyTransformer())  # a notebook's cell that runs again
    assert isinstance(TypeEngine.get_transformer(Tip), MoneyTransformer)
    with pytest.raises(ValueError, match="registered type was expected, got Path"):
        TypeEngine.get_transformer(Path)


PLUGIN = """
from flyte_ray.types import TypeEngine, TypeTransformer

class Colour:
    def __init__(self, name): self.name = name
    def __eq__(self, other): return self.name == other.name

class ColourTransformer(TypeTransformer):
    def to_literal(self, python_val, python_type, expected=None): return python_val.name
    def to_python_value(self, lv, expected_python_type): return Colour(lv)

def register():
    TypeEngine.register(ColourTransformer("colour", Colour))
"""


def test_a_package_brings_types_by_its_entry_point(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "colours.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    entries = [EntryPoint(name, f"{name}:register", transformers.GROUP) for name in ("missing", "colours")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)
    monkeypatch.setattr(transformers.registry, "_are_plugins_loaded", False)
    import colours  # type: ignore[import-not-found]

    def paint(colour: Any) -> Any:
        return colour

    paint.__annotations__ = dict.fromkeys(("colour", "return"), colours.Colour)
    assert run(env.task(paint), colours.Colour("red")).outputs() == (colours.Colour("red"),)
    assert "behind entry point 'missing' could not be loaded" in caplog.text
    sys.modules.pop("colours")


def test_what_a_user_hashes_decides_what_is_equal(root: Path) -> None:
    assert run(count, pa.table({"a": ["xy"]})).outputs() == (1,)
    assert run(count, pa.table({"a": ["xz", "b"]})).outputs() == (1,)
    assert run(count, pa.table({"a": ["y"]})).outputs() == (1,)
    assert ran == ["count", "count"]


@pytest.mark.filterwarnings("ignore:Values of type object")
def test_a_pickled_value_with_a_hash_is_a_key_of_the_cache(root: Path) -> None:
    first, second = run(anything, object()), run(anything, object())
    assert first.outputs() == second.outputs()
    assert ran == ["anything"]
    with pytest.raises(TypeError, match="hash function of its annotation .+ int 3, but raised TypeError: a number has"):
        run(anything, 3)


def test_protobuf_messages_come_back_and_are_keys_of_the_cache(root: Path) -> None:
    first, second = Struct(), Struct()
    first.update({"a": 1, "b": {"c": "d"}})
    second.update({"b": {"c": "d"}, "a": 1})
    assert run(struct, first).outputs() == (second,)
    assert run(struct, second).outputs() == (first,)
    assert ran == ["struct"]
