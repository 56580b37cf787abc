"""Equal tables have equal digests, and others have other ones."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_ray.types import content
from flyte_ray.types.content import table_digest
from flyte_ray.types.frames import kind_of

TYPES: list[tuple[pa.DataType, Any]] = [
    (pa.int32(), st.integers(-5, 5)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(max_size=3)),
    (pa.large_binary(), st.binary(max_size=3)),
    (pa.decimal128(5, 0), st.integers(-5, 5)),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from("abc")),
    (pa.list_(pa.string()), st.lists(st.none() | st.text(max_size=2), max_size=3)),
    (pa.list_(pa.int8(), 2), st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    (
        pa.struct([("x", pa.int8()), ("y", pa.list_(pa.bool_()))]),
        st.fixed_dictionaries({"x": st.none() | st.integers(0, 9)}),
    ),
    (pa.map_(pa.string(), pa.int8()), st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=2)),
    (pa.string_view(), st.text(max_size=20)),
    (pa.null(), st.none()),
]
COLUMNS = st.sampled_from(TYPES).flatmap(
    lambda kind: st.tuples(st.just(kind[0]), st.lists(st.none() | kind[1], max_size=12))
)


def table_of(column: Any) -> pa.Table:
    return pa.table({"a": column})


@given(COLUMNS, st.lists(st.integers(0, 12), max_size=3), st.integers(0, 3))
def test_it_does_not_matter_how_a_table_is_cut_and_where_it_lies(
    column: tuple[pa.DataType, list[Any]], cuts: list[int], before: int
) -> None:
    kind, values = column
    whole = pa.array(values, kind)
    around = pa.array([*values[:before], *values, None], kind)
    inside = around.slice(len(values[:before]), len(values))
    ends = sorted({0, *(min(cut, len(values)) for cut in cuts), len(values)})
    pieces = [pa.array(values[start:end], kind) for start, end in itertools.pairwise(ends)]
    chunked = pa.chunked_array(pieces, kind)
    digest = table_digest(table_of(whole))
    assert table_digest(table_of(inside)) == digest
    assert table_digest(table_of(chunked)) == digest


@given(COLUMNS, COLUMNS)
def test_other_values_have_another_digest(left: tuple[Any, list[Any]], right: tuple[Any, list[Any]]) -> None:
    first, second = (table_of(pa.array(values, kind)) for kind, values in (left, right))
    same = first.schema.equals(second.schema) and repr(first.to_pylist()) == repr(second.to_pylist())
    assert (table_digest(first) == table_digest(second)) is same


def test_what_lies_in_the_slots_of_nulls_does_not_matter() -> None:
    def column(garbage: int) -> pa.Array:
        data = pa.array([1, garbage, 3], pa.int64()).buffers()[1]
        return pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\x05"), data])

    assert column(7).to_pylist() == [1, None, 3]
    assert table_digest(table_of(column(7))) == table_digest(table_of(column(8)))


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"a": [2, 1], "b": ["x", "y"]}),
        pa.table({"b": ["x", "y"], "a": [1, 2]}),
        pa.table({"a": [1, 2], "c": ["x", "y"]}),
        pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]}),
        pa.table({"a": [1, None], "b": ["x", "y"]}),
        pa.table({"a": [1, 2], "b": ["xy", ""]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}, metadata={"of": "another source"}),
    ],
    ids=["rows", "columns", "name", "type", "null", "lengths", "metadata"],
)
def test_order_names_types_and_metadata_count(other: pa.Table) -> None:
    assert table_digest(other) != table_digest(pa.table({"a": [1, 2], "b": ["x", "y"]}))


def test_a_large_table_is_hashed_in_blocks_on_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "ROWS", 1000)
    numbers = pa.array(range(5500))
    chunked = pa.chunked_array([numbers[:10], numbers[10:3999], numbers[3999:]])
    assert table_digest(table_of(chunked)) == table_digest(table_of(numbers))
    assert table_digest(table_of(chunked)) != table_digest(table_of(numbers[1:]))


def test_of_a_data_frame_index_and_categories_count() -> None:
    def digest(frame: pd.DataFrame) -> str:
        kind = kind_of(pd.DataFrame)
        assert kind is not None
        return table_digest(kind.to_arrow(frame)[0], dictionaries=True)

    frame = pd.DataFrame({"a": pd.Categorical(["x"], categories=["x", "y"])})
    assert digest(frame) == digest(frame.copy())
    assert digest(frame) != digest(frame.set_index(pd.Index([5])))
    assert digest(frame) != digest(pd.DataFrame({"a": pd.Categorical(["x"], categories=["x"])}))
