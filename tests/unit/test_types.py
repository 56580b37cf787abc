from __future__ import annotations

import datetime as dt
import enum
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pytest
from pydantic import BaseModel, SecretStr

from flyte_ray.errors import RuntimeDataValidationError
from flyte_ray.spec.interface import Interface, Parameter
from flyte_ray.types import TaskCodec, build_codec
from flyte_ray.types.signing import Key, Pickling


class Memory:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, data: bytes, suffix: str, name: str | None = None) -> str:
        uri = f"{name or len(self.blobs)}{suffix}"
        self.blobs[uri] = data
        return uri

    def put_written(self, write: Any, suffix: str, name: Any) -> str:
        file = io.BytesIO()
        write(file)
        return self.put(file.getvalue(), suffix, name if isinstance(name, str) else name())

    def get(self, uri: str) -> bytes:
        return self.blobs[uri]

    def local_path(self, uri: str) -> None:
        return None

    @property
    def pickling(self) -> Pickling:
        return Pickling(Key(b"sixteen bytes ok"), accept_unsigned=True)

    def absolute(self, uri: str) -> str:
        return f"memory://{id(self)}/{uri}"


def memory() -> Any:
    """As much of `Blobs` as these values need."""
    return Memory()


class Pair(NamedTuple):
    left: int
    right: str


class Odd(enum.Enum):
    A = "b"
    B = "a"


class Colour(enum.Enum):
    RED = 1


@dataclass
class Config:
    rate: float
    names: list[str]
    more: int = 7


@dataclass(frozen=True)
class Cat:
    name: str


@dataclass(frozen=True)
class Dog:
    name: str


def codec_of(annotation: Any) -> TaskCodec:
    return build_codec(Interface((Parameter("x", annotation, False, None),), annotation, False), "env.f")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (str, "a"),
        (bool, True),
        (float, 0.5),
        (list[int], [1, 2]),
        (dict[str, float], {"a": 1.0}),
        (dt.datetime, dt.datetime(2026, 1, 2, 3)),
        (dt.timedelta, dt.timedelta(seconds=1.5)),
        (Pair, Pair(1, "a")),
        (Colour, Colour.RED),
        (Config, Config(0.1, ["a"])),
        (set[int], {1, 2}),
        (bytes, b"\xff\x00"),
        (Literal["a", "b"], "b"),
        (int | None, None),
        (tuple[int, str], (1, "a")),
        (pa.Table, pa.table({"a": [1, 2]})),
    ],
    ids=str,
)
def test_a_value_comes_back_as_it_went_in(annotation: Any, value: Any) -> None:
    codec, blobs = codec_of(annotation), memory()
    back = codec.decode_inputs(codec.encode_inputs({"x": value}, blobs).text, blobs)["x"]
    assert back == value
    assert type(back) is type(value)
    assert codec.decode_output(codec.encode_output(value, blobs), blobs) == value


def test_a_wrong_argument_names_task_parameter_expected_and_given() -> None:
    with pytest.raises(TypeError, match=r"Task 'env\.f', parameter 'x': expected int, got str 'a'"):
        codec_of(int).encode_inputs({"x": "a"}, memory())


def test_a_wrong_output_names_the_task() -> None:
    with pytest.raises(RuntimeDataValidationError, match="Expected int but got str 'a'"):
        codec_of(int).encode_output("a", memory())


def test_equal_inputs_have_equal_digests_whatever_the_order_of_keys() -> None:
    codec = codec_of(dict[str, int])
    first, second = ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}})
    assert codec.encode_inputs(first, memory()).digest == codec.encode_inputs(second, memory()).digest


class Login(BaseModel):
    password: SecretStr


def stored(annotation: Any, value: Any) -> str:
    return codec_of(annotation).encode_output(value, memory())


def read(annotation: Any, text: str) -> Any:
    return codec_of(annotation).decode_output(text, memory())


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (list[int], [1, "a"], "got list [1, 'a']; at [1]: expected int, got str 'a'"),
        (dict[str, list[Config]], {"k": [Config("x", [])]}, "at ['k'][0].rate: expected float, got str 'x'"),  # type: ignore[arg-type]
        (dict[int, str], {"a": "b"}, "at  key 'a': expected int, got str 'a'"),
        (tuple[int, str], (1,), "got tuple (1,)"),
        (Cat | Dog, Pair(1, "a"), "expected Cat | Dog, got Pair"),
        (list[Cat | None], [3], "at [0]: expected Cat, got int 3"),
        (Literal["a", 1], True, "expected Literal['a', 1], got bool True"),
        (int, True, "expected int, got bool True"),
        (float, "1", "expected float, got str '1'"),
        (dt.datetime, dt.date(2026, 1, 2), "expected datetime, got date"),
        (Odd, "a", "expected Odd, got str 'a'"),
        (set[int], [1], "got list [1]"),
    ],
    ids=str,
)
def test_a_wrong_part_is_named_with_its_place(annotation: Any, value: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        codec_of(annotation).encode_inputs({"x": value}, memory())
    assert said in str(caught.value)
    assert str(caught.value).startswith("Task 'env.f', parameter 'x': expected ")


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="which holds itself"):
        stored_input(list[Any], endless)


def stored_input(annotation: Any, value: Any) -> str:
    return codec_of(annotation).encode_inputs({"x": value}, memory()).text


def test_a_model_with_a_secret_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Login holds a secret, .+ flyte\.Secret"):
        stored_input(Login, Login(password=SecretStr("x")))


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (dt.datetime, '"2026-01-02T03:00:00Z"', dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone.utc)),
        (dt.timedelta, '"-P3DT2H0.000001S"', -dt.timedelta(days=3, hours=2, microseconds=1)),
        (Cat | Dog, '{"name":"Rex"}', Cat("Rex")),
        (dict[float, int], '{"1.5":2}', {1.5: 2}),
        (complex, '"1+2j"', 1 + 2j),
        (Odd, '"b"', Odd.A),
        (Config, '{"rate":1.0,"names":[]}', Config(1.0, [])),
        (dict, '{"$pickle":"gAR9lC4="}', {}),
        (tuple[int, Path], '[1,"a"]', (1, Path("a"))),
    ],
    ids=str,
)
def test_what_earlier_versions_stored_is_read(annotation: Any, text: str, value: Any) -> None:
    assert read(annotation, text) == value


def test_a_stored_field_that_the_class_has_no_more_is_named() -> None:
    with pytest.raises(TypeError, match="a stored Cat has the field 'age', which the class has not"):
        read(Cat, '{"name":"Tom","age":3}')


def test_a_class_that_is_gone_is_named() -> None:
    with pytest.raises(TypeError, match="of the class Gone of module tests, which is not there any more"):
        read(Any, '{"$class":"tests:Gone","value":1}')


def test_equal_values_have_equal_digests_however_they_were_made() -> None:
    def digest(annotation: Any, value: Any) -> str:
        return codec_of(annotation).encode_inputs({"x": value}, memory()).digest

    assert digest(set[str], {"a", "b"}) == digest(set[str], {"b", "a"})
    assert digest(dict[Pair, int], {Pair(1, "a"): 1, Pair(2, "b"): 2}) == digest(
        dict[Pair, int], {Pair(2, "b"): 2, Pair(1, "a"): 1}
    )
    assert digest(Cat | Dog, Cat("Tom")) != digest(Cat | Dog, Dog("Tom"))
    assert digest(dict[str, str], {"$pickle": "a"}) != digest(dict[str, str], {"$pickle": "b"})


def test_what_numpy_gives_for_a_number_is_taken_as_one() -> None:
    values = pa.array([1, 2]).to_numpy()
    assert stored(int, values[0]) == "1"
    assert stored(float, values[1]) == "2.0"
    with pytest.raises(RuntimeDataValidationError, match="Expected int but got ndarray"):
        stored(int, values)


@dataclass
class Lazy:
    seen: int = field(init=False)


def test_a_field_that_was_never_set_stays_unset() -> None:
    assert not hasattr(read(Lazy, stored(Lazy, Lazy())), "seen")
