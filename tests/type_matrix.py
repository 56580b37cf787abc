"""Every kind of value that a task takes and gives, each as `CASES` lists it, with a task that takes and returns it.

`tests/test_type_matrix.py` runs it; whoever has another cluster or root runs `check` there.
"""

# ruff: noqa: UP007, UP045 - users write both forms of an annotation, so both are here

from __future__ import annotations

import collections
import datetime as dt
import enum
import inspect
import ipaddress
import math
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union
from zoneinfo import ZoneInfo

from google.protobuf.struct_pb2 import Struct, Value
from pydantic import BaseModel, Field
from typing_extensions import NotRequired

import flyte_ray as flyte
from flyte_ray.types import FlytePickle, TypeEngine, TypeTransformer
from tests.matrix_tables import TABLES, Trained, same_table

T = TypeVar("T")
env = flyte.TaskEnvironment("matrix")
UserId = NewType("UserId", int)


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(str, enum.Enum):
    DARK = "dark"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 1


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Odd(enum.Enum):
    ORIGIN = (0, 0)
    UNIT = (1, 1)


class Options(TypedDict):
    rate: float
    names: NotRequired[list[str]]


@dataclass
class Config:
    rate: float
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Cat:
    name: str


@dataclass(frozen=True)
class Dog:
    name: str


@dataclass(frozen=True)
class Puppy(Dog):
    weeks: int


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


@dataclass
class Box(Generic[T]):
    content: T
    more: Optional[list[T]] = None


@dataclass
class Doubled:
    given: int
    made: int = field(init=False)

    def __post_init__(self) -> None:
        self.given *= 2
        self.made = self.given + 1


@dataclass
class Mixed:
    pets: list[Union[Cat, Dog]]
    when: dict[dt.date, Optional[Pair]]
    opaque: Opaque
    any: Any = None


class Settings(BaseModel):
    rate: Annotated[float, Field(gt=0)]
    tags: set[str] = set()
    nested: Optional[Settings] = None


class Holder(BaseModel, arbitrary_types_allowed=True):
    held: Opaque
    at: dt.datetime


class Opaque:
    """A class of which nothing is known."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


class Shape(ABC):
    """Says nothing of how its values look."""

    @abstractmethod
    def area(self) -> float: ...


@dataclass
class Circle(Shape):
    radius: float

    def area(self) -> float:
        return math.pi * self.radius**2


class Money:
    """A class that is taught."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


class MoneyTransformer(TypeTransformer[Money]):
    def to_literal(self, python_val: Money, python_type: type[Money], expected: Any = None) -> Any:
        return python_val.cents

    def to_python_value(self, lv: Any, expected_python_type: type[Money]) -> Money:
        return Money(lv)


TypeEngine.register(MoneyTransformer("money", Money))


def plus_one(x: int) -> int:
    return x + 1


BERLIN = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
NAIVE = dt.datetime(2026, 1, 2, 3, 4, 5, 678)

CASES: dict[str, tuple[Any, Any]] = {
    "int": (int, -3),
    "big_int": (int, 2**80),
    "float": (float, 0.1),
    "infinite": (float, -math.inf),
    "bool": (bool, True),
    "text": (str, "ä\n\u2028\x00"),
    "none": (None, None),
    "bytes": (bytes, b"\xff\x00"),
    "bytearray": (bytearray, bytearray(b"ab")),
    "complex": (complex, 1 - 2j),
    "decimal": (Decimal, Decimal("1.10")),
    "uuid": (uuid.UUID, uuid.UUID(int=7)),
    "path": (Path, Path("a/b.txt")),
    "pure_path": (PurePosixPath, PurePosixPath("/a")),
    "date": (dt.date, dt.date(2026, 1, 2)),
    "time": (dt.time, dt.time(1, 2, 3, 4)),
    "naive_datetime": (dt.datetime, NAIVE),
    "utc_datetime": (dt.datetime, NAIVE.replace(tzinfo=dt.timezone.utc)),
    "offset_datetime": (dt.datetime, NAIVE.replace(tzinfo=dt.timezone(dt.timedelta(hours=-5, minutes=-30)))),
    "zoned_datetime": (dt.datetime, BERLIN),
    "zoned_time": (dt.time, dt.time(1, tzinfo=ZoneInfo("Europe/Berlin"))),
    "datetime_as_date": (dt.date, NAIVE),
    "timedelta": (dt.timedelta, dt.timedelta(days=-2, seconds=3, microseconds=4)),
    "list": (list[int], [1, 2]),
    "empty_list": (list[str], []),
    "list_of_optional": (list[Optional[int]], [1, None]),
    "untyped_list": (list, [1, "a", (2, 3), {4}, None]),
    "tuple": (tuple[int, str], (1, "a")),
    "any_tuple": (tuple, (1, ("a", b"b"))),
    "long_tuple": (list[tuple[int, ...]], [(1, 2, 3), ()]),
    "set": (set[int], {1, 2, 3}),
    "frozenset": (frozenset[str], frozenset({"a", "b"})),
    "set_of_tuples": (set[tuple[int, str]], {(1, "a"), (2, "b")}),
    "dict": (dict[str, float], {"a": 1.0}),
    "dict_by_int": (dict[int, str], {1: "a", 2: "b"}),
    "dict_by_bool": (dict[bool, str], {True: "a"}),
    "dict_by_date": (dict[dt.date, int], {dt.date(2026, 1, 2): 1}),
    "dict_by_tuple": (dict[tuple[int, int], str], {(1, 2): "a"}),
    "dict_by_enum": (dict[Colour, int], {Colour.RED: 1}),
    "dict_of_dataclasses": (dict[str, Config], {"a": Config(0.5, ["x"])}),
    "untyped_dict": (dict, {"a": {"b": [Cat("Tom"), Colour.BLUE, NAIVE, Path("x")]}, 1: Decimal("2")}),
    "marked_dict": (dict[str, str], {"$pickle": "no pickle", "$class": "no class"}),
    "marked_any": (Any, {"$arrow": "no table", "value": 1}),
    "ordered_dict": (collections.OrderedDict[str, int], collections.OrderedDict(b=1, a=2)),
    "counter": (collections.Counter[str], collections.Counter("aab")),
    "deque": (collections.deque[int], collections.deque([1, 2])),
    "sequence": (Sequence[int], (1, 2)),
    "sequence_as_list": (Sequence[int], [1, 2]),
    "iterable": (Iterable[int], frozenset({1})),
    "mapping": (Mapping[str, list[int]], {"a": [1]}),
    "optional": (Optional[int], None),
    "nested_optional": (Optional[dict[str, Optional[list[Optional[float]]]]], {"a": [None, 1.5], "b": None}),
    "union_of_scalars": (Union[int, str], "3"),
    "union_of_float_and_int": (Union[float, int], 3),
    "union_of_text_and_date": (list[Union[str, dt.date]], ["2026-01-02", dt.date(2026, 1, 2)]),
    "union_of_dataclasses": (list[Union[Cat, Dog]], [Dog("Rex"), Cat("Tom")]),
    "union_of_lists": (Union[list[int], list[str], None], ["a"]),
    "union_by_base": (Union[Dog, Cat], Puppy("Rex", 3)),
    "subclass": (Dog, Puppy("Rex", 3)),
    "named_tuple": (Pair, Pair(1, "a")),
    "named_tuples": (list[Pair], [Pair(1), Pair(2, "b")]),
    "typed_dict": (Options, {"rate": 0.5}),
    "typed_dict_with_more": (Options, {"rate": 0.5, "names": ["a"]}),
    "dataclass": (Config, Config(0.5, ["a"])),
    "recursive": (Tree, Tree(1, [Tree(2, [Tree(3)]), Tree(4)])),
    "generic": (Box[dt.date], Box(dt.date(2026, 1, 2), [dt.date(2026, 1, 3)])),
    "nested_generic": (Box[Box[Cat]], Box(Box(Cat("Tom")))),
    "post_init": (Doubled, Doubled(3)),
    "mixed_dataclass": (
        Mixed,
        Mixed(
            [Cat("Tom"), Dog("Rex")],
            {dt.date(2026, 1, 2): Pair(1), dt.date(2026, 1, 3): None},
            Opaque(1),
            {1: Opaque(2)},
        ),
    ),
    "model": (Settings, Settings(rate=1, tags={"a"}, nested=Settings(rate=2))),
    "any_model": (list[BaseModel], [Settings(rate=1)]),
    "model_of_unknown": (Holder, Holder(held=Opaque(1), at=NAIVE)),
    "enum": (Colour, Colour.BLUE),
    "text_enum": (Shade, Shade.DARK),
    "int_enum": (Level, Level.LOW),
    "flags": (Rights, Rights.READ | Rights.WRITE),
    "odd_enum": (Odd, Odd.UNIT),
    "literal": (Literal["a", "b", 3, True], "b"),
    "literal_member": (Literal[Colour.RED, None], Colour.RED),
    "new_type": (UserId, UserId(3)),
    "constrained": (Annotated[int, Field(gt=0)], 3),
    "annotated": (Annotated[list[Cat], "pets"], [Cat("Tom")]),
    "address": (ipaddress.IPv4Address, ipaddress.IPv4Address("127.0.0.1")),
    "any": (Any, [1, Pair(2, "b"), {"a": frozenset({1})}]),
    "function": (Callable[[int], int], plus_one),
    "a_class": (type, Cat),
    "pickled": (FlytePickle[Config], Config(0.5)),
    "opaque": (Opaque, Opaque(3)),
    "opaque_in_tuple": (tuple[int, Opaque], (1, Opaque(3))),
    "opaque_in_dict": (dict[str, list[Opaque]], {"a": [Opaque(3)]}),
    "abstract": (list[Shape], [Circle(1.5)]),
    "error": (ValueError, ValueError("as a value")),
    "message": (Struct, Struct(fields={"a": Value(number_value=1)})),
    "custom": (list[Money], [Money(3)]),
    **TABLES,
}
"""Annotation and value of each kind, by name."""


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal in class and content, at any depth."""
    if type(left) is not type(right):
        return False
    found = same_table(left, right)
    if found is not None:
        return found
    if isinstance(left, Trained):
        return same(vars(left), vars(right))
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(map(repr, left)) == list(map(repr, right)) and all(map(same, left.values(), right.values()))
    if isinstance(left, BaseException):
        return left.args == right.args
    if isinstance(left, (dt.datetime, dt.time)):
        return left == right and getattr(left.tzinfo, "key", None) == getattr(right.tzinfo, "key", None)
    return bool(left == right)


def _define(func: Any, name: str, annotations: dict[str, Any]) -> Any:
    """Declare a task that takes what its annotations say; it is found by its name, in other processes too."""
    func.__name__ = func.__qualname__ = name
    func.__annotations__ = annotations
    kind = inspect.Parameter.KEYWORD_ONLY
    func.__signature__ = inspect.Signature([inspect.Parameter(each, kind) for each in annotations if each != "return"])
    globals()[name] = env.task(func)
    return globals()[name]


def _define_child(name: str) -> Any:
    def child(*, x: Any) -> Any:
        require_same(name, x)
        return x

    return _define(child, f"case_{name}", {"x": CASES[name][0], "return": CASES[name][0]})


def require_same(name: str, value: Any) -> None:
    """Require that the value of a case is what it was."""
    try:
        assert same(value, CASES[name][1])
    except AssertionError as error:
        raise AssertionError(f"case {name!r}: {value!r} came for {CASES[name][1]!r} {error}") from error


def _every_value(**values: Any) -> Any:
    for name, value in values.items():
        require_same(name, value)
    return tuple(CHILDREN[name](x=value) for name, value in values.items())


CHILDREN = {name: _define_child(name) for name in CASES}
"""Takes the value and returns it."""
_ANNOTATIONS = {name: annotation for name, (annotation, _) in CASES.items()}
every_value = _define(
    _every_value,
    "every_value",
    {**_ANNOTATIONS, "return": tuple[tuple(_ANNOTATIONS.values())]},  # type: ignore[misc]
)
"""Takes the values of all cases, hands each to its child, and returns what these return."""


def check(**settings: Any) -> None:
    """Have all values go to a task, from there to a child each, and back, in one run.

    Args:
        settings: Of `flyte.with_runcontext`.

    """
    values = {name: value for name, (_, value) in CASES.items()}
    run = flyte.with_runcontext(**settings).run(every_value, **values)
    outputs = run.outputs()
    later = flyte.remote.Run.get(run.name)
    for found in (outputs, later.outputs(every_value), later.inputs(every_value).values()):
        for name, value in zip(CASES, found, strict=True):
            require_same(name, value)
    history = later.actions_table()
    assert history["phase"].to_pylist() == ["succeeded"] * (len(CASES) + 1)
