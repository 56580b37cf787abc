"""Tables of a library that we do not know are taught: `flyte.io.extend`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pytest

import flyte_ray as flyte
from flyte_ray.io import DataFrame
from flyte_ray.io.extend import DataFrameDecoder, DataFrameEncoder, DataFrameTransformerEngine
from flyte_ray.types import guess_interface, literal_string_repr

env = flyte.TaskEnvironment("taught")
ran: list[str] = []


class Grid:
    """A table as a list of rows."""

    def __init__(self, names: list[str], rows: list[tuple[Any, ...]]) -> None:
        self.names, self.rows = names, rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and vars(other) == vars(self)


class GridEncoder(DataFrameEncoder[Grid]):
    def __init__(self) -> None:
        super().__init__(Grid)

    async def encode(self, dataframe: DataFrame, structured_dataset_type: Any = None) -> Any:
        grid: Grid = dataframe.val
        if not grid.names:
            return grid.rows
        return pa.table([pa.array(column) for column in zip(*grid.rows, strict=True)], names=grid.names)


class GridDecoder(DataFrameDecoder[Grid]):
    def __init__(self) -> None:
        super().__init__(Grid, supported_format="parquet")

    def decode(self, flyte_value: Any, current_task_metadata: Any = None) -> Grid:
        return Grid(flyte_value.column_names, [tuple(row.values()) for row in flyte_value.to_pylist()])


class Unread:
    """A table that can be stored, and not read."""


class UnreadEncoder(DataFrameEncoder[Unread]):
    def encode(self, dataframe: DataFrame, structured_dataset_type: Any = None) -> Any:
        return pa.table({"a": [1]})


for handler in (GridEncoder(), GridDecoder(), UnreadEncoder(Unread)):
    DataFrameTransformerEngine.register(handler)
GRID = Grid(["a", "b"], [(1, "x"), (2, "y")])


@env.task(cache="auto")
def turned(grid: Grid) -> Grid:
    ran.append("turned")
    return Grid(grid.names, grid.rows[::-1])


@env.task
def total(frame: Annotated[DataFrame, {"a": int}]) -> Grid:
    return frame.open(Grid).all_sync()


@env.task
def as_pandas(frame: pd.DataFrame) -> Any:
    return [frame["b"][0], GRID]


@env.task
def unread(given: Any) -> Any:
    return given


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> None:
    ran.clear()
    flyte.init(root=tmp_path)


def run(task: Any, value: Any) -> Any:
    return flyte.with_runcontext("local").run(task, value).outputs()[0]


def test_a_class_of_tables_that_is_taught_goes_from_task_to_task_by_content() -> None:
    assert [run(turned, Grid(GRID.names, list(GRID.rows))) for _ in range(2)] == [Grid(["a", "b"], GRID.rows[::-1])] * 2
    assert ran == ["turned"]
    assert run(turned, Grid(["a"], [(1,)])).rows == [(1,)]


def test_it_stands_where_a_data_frame_may_and_one_is_opened_as_it() -> None:
    assert run(total, GRID) == Grid(["a"], [(1,), (2,)])
    assert run(total, pd.DataFrame({"a": [5], "c": [6]})) == Grid(["a"], [(5,)])
    assert run(as_pandas, DataFrame.from_df(GRID)) == ["x", GRID]


def test_what_an_encoder_or_a_decoder_lacks_is_said() -> None:
    with pytest.raises(
        TypeError, match=r"parameter 'grid': GridEncoder\.encode should return a pyarrow\.Table, got list"
    ):
        run(turned, Grid([], [(1,)]))
    with pytest.raises(
        flyte.errors.RuntimeUserError, match=r"A decoder of tests\.test_table_types\.Unread was expected"
    ):
        run(unread, Unread())


def test_a_class_is_taught_once_unless_its_user_says_so() -> None:
    class Other(GridDecoder):
        pass

    for handler in (Other(), UnreadEncoder(pd.DataFrame)):
        with pytest.raises(
            ValueError, match=r"A class whose tables are not known yet was expected, got (Grid|DataFrame)"
        ):
            DataFrameTransformerEngine.register(handler)
    DataFrameTransformerEngine.register(Other(), override=True)
    DataFrameTransformerEngine.register(GridDecoder(), override=True)
    with pytest.raises(TypeError, match="expects a DataFrameEncoder or a DataFrameDecoder, got ABCMeta"):
        DataFrameTransformerEngine.register(GridDecoder)  # type: ignore[arg-type]


def test_what_reads_flyte_s_messages_says_what_to_use() -> None:
    for refused in (guess_interface, literal_string_repr, DataFrame.from_df(GRID).set_literal):
        with pytest.raises(
            flyte.errors.UnsupportedError, match=r"messages? of Flyte's, got dict; there are none here\. "
        ):
            refused({})
