"""The tables and arrays of `tests/type_matrix.py`, and how to tell that two of them are equal."""

from __future__ import annotations

import decimal
import importlib.util
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa

from flyte_ray.io import DataFrame, HashFunction

ARROW = pa.table(
    {
        "int": pa.chunked_array([[1, 2], [None]], pa.int64()),
        "text": ["a", None, "c"],
        "nested": [[{"x": 1}], [], None],
        "category": pa.array(["u", "v", "u"]).dictionary_encode(),
    },
    metadata={"source": "test"},
)
PANDAS = pd.DataFrame(
    {
        "int": [1, 2, 3],
        "text": ["a", None, "c"],
        "object": pd.Series(["a", "b", None], dtype=object),
        "category": pd.Categorical(["u", "v", "u"], categories=["v", "u", "w"], ordered=True),
        "at": pd.date_range("2026-01-01", periods=3, tz="Europe/Berlin"),
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "flag": [True, False, True],
    },
    index=pd.Index([10, 20, 30], name="key"),
)
PANDAS.attrs = {"source": "test"}
POLARS = pl.DataFrame(
    {
        "int": [1, None, 3],
        "text": ["a", "b", None],
        "enum": pl.Series(["u", "v", "u"], dtype=pl.Enum(["v", "u", "w"])),
        "money": pl.Series([decimal.Decimal("1.50"), None, decimal.Decimal("2.25")]),
        "nested": [{"x": [1, 2]}, {"x": []}, {"x": None}],
    }
)
LEVELS = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])
LARGE = np.arange(100_000, dtype="f4").reshape(100, 1000)


@dataclass
class Trained:
    """What a training gives: a record that holds tables and arrays."""

    weights: dict[str, npt.NDArray[np.float32]]
    history: pd.DataFrame
    rows: pl.DataFrame | pa.Table | None = None


TABLES: dict[str, tuple[Any, Any]] = {
    "arrow": (pa.Table, ARROW),
    "arrow_without_rows": (pa.Table, ARROW.slice(0, 0)),
    "batch": (pa.RecordBatch, pa.RecordBatch.from_pydict({"a": [1, 2]})),
    "batch_without_rows": (pa.RecordBatch, pa.RecordBatch.from_pydict({"a": pa.array([], pa.int8())})),
    "pandas": (pd.DataFrame, PANDAS),
    "pandas_by_levels": (pd.DataFrame, PANDAS.set_index(["text", "int"])),
    "pandas_with_numbers_for_names": (
        pd.DataFrame,
        pd.DataFrame([[1, 2.5]], index=pd.date_range("2026-01-01", periods=1)),
    ),
    "pandas_with_levels_of_names": (
        pd.DataFrame,
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    ),
    "pandas_of_anything": (pd.DataFrame, pd.DataFrame({"a": [1, "x"], "b": [{"y": 1}, (2,)], "c": [1 + 2j, 0j]})),
    "pandas_without_columns": (pd.DataFrame, pd.DataFrame(index=[1, 2])),
    "pandas_twice_a_name": (pd.DataFrame, pd.DataFrame([[1, 2]], columns=["a", "a"])),
    "series": (pd.Series, pd.Series([1.5, None], name="x", index=["a", "b"])),
    "series_without_name": (pd.Series, pd.Series([1, 2])),
    "polars": (pl.DataFrame, POLARS),
    "polars_series": (pl.Series, POLARS["enum"]),
    "lazy": (pl.LazyFrame, POLARS.lazy()),
    "array": (np.ndarray, LARGE),
    "array_by_columns": (np.ndarray, np.asfortranarray(LARGE)),
    "typed_array": (npt.NDArray[np.int64], np.array([[1], [2]])),
    "array_of_one": (np.ndarray, np.array(1 + 2j)),
    "array_of_times": (np.ndarray, np.array(["2026-01-01", "NaT"], dtype="M8[D]")),
    "array_of_records": (np.ndarray, np.array([(1, "a")], dtype=[("n", "i2"), ("s", "U3")])),
    "array_of_objects": (np.ndarray, np.array([1, "a", None], dtype=object)),
    "numpy_number": (np.float32, np.float32(1.5)),
    "tuple_of_tables": (tuple[pa.Table, int, pd.DataFrame], (ARROW, 1, PANDAS)),
    "dict_of_tables": (dict[str, pa.Table | pd.DataFrame | pl.DataFrame], {"a": ARROW, "b": PANDAS, "c": POLARS}),
    "untyped_tables": (Any, [ARROW, {"b": (PANDAS, POLARS)}, LARGE, np.int8(3)]),
    "data_frame": (DataFrame, DataFrame.from_df(POLARS)),
    "hashed": (Annotated[pa.Table, HashFunction.from_fn(lambda table: "always")], ARROW),
    "narrowed": (Annotated[pa.Table, {"int": int, "text": str}], ARROW.select(["int", "text"])),
    "record_of_tables": (Trained, Trained({"w": np.ones(3, "f4")}, PANDAS, POLARS)),
}
"""Annotation and value of each kind, by name."""

if importlib.util.find_spec("torch"):
    import torch

    def trained() -> Any:
        torch.manual_seed(1)
        return torch.nn.Linear(200, 100)

    TABLES |= {
        "tensor": (torch.Tensor, torch.arange(6).reshape(2, 3).to(torch.bfloat16)),
        "part_of_a_tensor": (torch.Tensor, torch.arange(100_000)[10:20]),
        "conjugate": (torch.Tensor, torch.ones(50_000, dtype=torch.complex64).conj()),
        "parameter": (torch.nn.Parameter, torch.nn.Parameter(torch.ones(2))),
        "state": (dict[str, torch.Tensor], trained().state_dict()),
        "ordered_state": (OrderedDict[str, torch.Tensor], OrderedDict(a=torch.ones(50_000))),
        "untyped_state": (Any, {"model": trained().state_dict(), "epoch": 3}),
    }


def same_table(left: Any, right: Any) -> bool | None:
    """Tell whether two tables or arrays are equal in all that counts; None if they are neither."""
    if isinstance(left, (pa.Table, pa.RecordBatch)):
        return bool(left.equals(right, check_metadata=True))
    if isinstance(left, DataFrame):
        return same_table(left.open(pl.DataFrame).all_sync(), right.open(pl.DataFrame).all_sync())
    if isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right)
        return left.attrs == right.attrs
    if isinstance(left, pd.Series):
        pd.testing.assert_series_equal(left, right)
        return True
    if isinstance(left, pl.LazyFrame):
        return same_table(left.collect(), right.collect())
    if isinstance(left, pl.DataFrame):
        return left.schema == right.schema and left.equals(right)
    if isinstance(left, pl.Series):
        return left.dtype == right.dtype and left.name == right.name and left.equals(right)
    if isinstance(left, np.ndarray):
        np.testing.assert_array_equal(left, right)
        return (
            left.dtype == right.dtype and left.flags.f_contiguous == right.flags.f_contiguous and right.flags.writeable
        )
    if "torch" in sys.modules and isinstance(left, torch.Tensor):
        layouts = (
            left.layout is right.layout and left.dtype == right.dtype and left.requires_grad == right.requires_grad
        )
        return layouts and bool(torch.equal(left.to_dense(), right.to_dense()))
    return None
