"""Tables of other libraries come back as they were, however odd; only what Arrow would change is pickled."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest

from flyte_ray.types import pickles
from flyte_ray.types.annotations import build_form
from flyte_ray.types.content import table_digest
from tests.unit.test_types import memory


def handed_on(value: Any) -> tuple[Any, bool]:
    """Return what comes back of a value, and whether it was pickled."""
    form, blobs = build_form(type(value)), memory()
    pickles._announced.clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        raw = form.dump(value, blobs)
    return form.load(raw, blobs), any("pickled" in str(each.message) for each in said)


FRAME = pd.DataFrame({"a": [1, 2, 3]})
DAYS = pd.date_range("2026-03-27", periods=3)


def with_attrs(attrs: dict[str, Any]) -> pd.DataFrame:
    frame = FRAME.copy()
    frame.attrs = attrs
    return frame


ARROW_HOLDS: dict[str, pd.DataFrame] = {
    "nothing": pd.DataFrame(),
    "no_rows": FRAME[:0],
    "nulls": pd.DataFrame({"a": [None, None], "b": [np.nan, np.nan]}),
    "counted_names": pd.DataFrame(np.zeros((2, 3))),
    "some_counted_names": pd.DataFrame(np.zeros((2, 4))).iloc[:, 1::2],
    "counted_rows_with_a_name": FRAME.set_axis(pd.RangeIndex(3, name="row")),
    "days": FRAME.set_axis(DAYS),
    "no_days": FRAME[:0].set_axis(DAYS[:0]),
    "years": FRAME.set_axis(pd.period_range("2020", periods=3, freq="Y")),
    "unused_categories": pd.DataFrame({"a": pd.Categorical(["x"], categories=["z", "x", "y"], ordered=True)}),
    "unused_levels": FRAME.set_axis(pd.MultiIndex.from_product([["x", "y", "z"], [1]])).iloc[:2],
    "levels_with_nan": FRAME.set_axis(pd.MultiIndex.from_tuples([("x", 1), (np.nan, 2), ("y", 3)])),
    "a_moment_that_is_twice": pd.DataFrame({"a": pd.to_datetime(["2026-10-25 00:30Z"]).tz_convert("Europe/Berlin")}),
    "signs": pd.DataFrame({"a": [-0.0, np.inf, -np.inf]}),
}
PICKLED: dict[str, pd.DataFrame] = {
    "a_calendar": FRAME.set_axis(
        pd.date_range("2026-03-27", periods=3, freq=pd.offsets.CustomBusinessDay(holidays=["2026-03-30"]))
    ),
    "an_offset": FRAME.set_axis(pd.date_range("2026", periods=3, freq=pd.DateOffset(months=1, days=2))),
    "intervals_as_categories": pd.DataFrame({"a": pd.cut([1, 2, 3], 2)}),
    "lists_of_arrow": pd.DataFrame({"a": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
    "numbers_beyond_64_bits": pd.DataFrame({"a": [2**70]}),
    "nan_beside_na": pd.DataFrame({"a": pd.arrays.FloatingArray(np.array([1, np.nan]), np.array([True, False]))}),
    "surrogates": pd.DataFrame({"a": pd.Series(["\ud800"], dtype=object)}),
    "tuples_in_attrs": with_attrs({"k": (1, 2)}),
    "days_in_attrs": with_attrs({"k": dt.date(2026, 1, 2)}),
    "flags": FRAME.set_flags(allows_duplicate_labels=False),
}


@pytest.mark.parametrize("frame", (ARROW_HOLDS | PICKLED).values(), ids=(ARROW_HOLDS | PICKLED).keys())
def test_a_data_frame_comes_back_as_it_was(frame: pd.DataFrame) -> None:
    back, was_pickled = handed_on(frame)
    pd.testing.assert_frame_equal(back, frame, check_column_type=True, check_freq=True)
    assert type(back.columns) is type(frame.columns)
    assert back.attrs == frame.attrs
    assert was_pickled is any(frame is each for each in PICKLED.values())


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"": [1], "b": [2]}),
        pl.DataFrame({"a": pl.Series([2**100], dtype=pl.Int128)}),
        pl.DataFrame({"a": pl.Series([["x"]], dtype=pl.List(pl.Enum(["z", "x"])))}),
        pl.concat([pl.DataFrame({"a": pl.Series([each], dtype=pl.Categorical)}) for each in ("x", "y")], rechunk=False),
    ],
    ids=["no_name", "128_bits", "nested_enum", "chunks_of_categories"],
)
def test_a_frame_of_polars_comes_back_as_it_was(frame: pl.DataFrame) -> None:
    back, _ = handed_on(frame)
    polars.testing.assert_frame_equal(back, frame)
    assert back.schema == frame.schema


def test_chunks_may_have_dictionaries_of_their_own() -> None:
    words = pa.dictionary(pa.int8(), pa.string())
    for kind, values in ((words, [["x"], ["y"]]), (pa.list_(words), [[["x"]], [["y"]]])):
        table = pa.table({"a": pa.chunked_array([pa.array(each, kind) for each in values])})
        back, was_pickled = handed_on(table)
        assert back.schema == table.schema
        assert back.to_pydict() == table.to_pydict()
        assert not was_pickled


def test_chunks_whose_dictionaries_fit_into_no_common_one_are_pickled() -> None:
    words = [[f"{start + each}" for each in range(100)] for start in (0, 100)]
    chunks = [pa.DictionaryArray.from_arrays(pa.array([7], pa.int8()), each) for each in words]
    back, was_pickled = handed_on(pa.table({"a": pa.chunked_array(chunks)}))
    assert back["a"].to_pylist() == ["7", "107"]
    assert was_pickled


class Measured(pa.ExtensionType):  # type: ignore[misc] # pyarrow has no types
    def __init__(self, unit: str) -> None:
        self.unit = unit
        super().__init__(pa.int64(), "test.measured")

    def __arrow_ext_serialize__(self) -> bytes:
        return self.unit.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, text: bytes) -> Measured:
        return cls(text.decode())


def test_tables_that_differ_in_what_their_types_do_not_say_have_other_digests() -> None:
    def table(kind: pa.DataType, **about: Any) -> pa.Table:
        return pa.table([pa.nulls(0, kind)], pa.schema([pa.field("a", kind, **about)]))

    of_metres, of_feet = Measured("m"), Measured("ft")
    noted = [pa.struct([pa.field("x", pa.int8(), metadata={"k": each})]) for each in "vw"]
    tables = [
        *(table(pa.int64()), table(pa.int64(), nullable=False)),
        *(table(kind) for kind in (of_metres, of_feet, *noted, pa.list_(of_metres), pa.list_(of_feet))),
    ]
    assert len({table_digest(each) for each in tables}) == len(tables)
