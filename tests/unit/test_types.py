from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pytest

from flyte_ray.errors import RuntimeDataValidationError
from flyte_ray.spec.interface import Interface, Parameter
from flyte_ray.types import TaskCodec, build_codec


class Memory:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, data: bytes, suffix: str) -> str:
        uri = f"{len(self.blobs)}{suffix}"
        self.blobs[uri] = data
        return uri

    def get(self, uri: str) -> bytes:
        return self.blobs[uri]


class Pair(NamedTuple):
    left: int
    right: str


class Colour(enum.Enum):
    RED = 1


@dataclass
class Config:
    rate: float
    names: list[str]


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
    codec, blobs = codec_of(annotation), Memory()
    back = codec.decode_inputs(codec.encode_inputs({"x": value}, blobs).text, blobs)["x"]
    assert back == value
    assert type(back) is type(value)
    assert codec.decode_output(codec.encode_output(value, blobs), blobs) == value


def test_a_wrong_argument_names_task_parameter_expected_and_given() -> None:
    with pytest.raises(TypeError, match=r"Task 'env\.f', parameter 'x': expected int, got str 'a'"):
        codec_of(int).encode_inputs({"x": "a"}, Memory())


def test_a_wrong_output_names_the_task() -> None:
    with pytest.raises(RuntimeDataValidationError, match="Expected int but got str 'a'"):
        codec_of(int).encode_output("a", Memory())


def test_equal_inputs_have_equal_digests_whatever_the_order_of_keys() -> None:
    codec = codec_of(dict[str, int])
    first, second = ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}})
    assert codec.encode_inputs(first, Memory()).digest == codec.encode_inputs(second, Memory()).digest
