"""`flyte.io.DataFrame`: a table by reference, opened as whatever library's table is wanted."""

from __future__ import annotations

import asyncio
import gzip
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.io import DataFrame, HashFunction

env = flyte.TaskEnvironment("frames")
FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]}, index=pd.Index([7, 8, 9], name="key"))
ran: list[str] = []


@env.task
def make() -> DataFrame:
    return DataFrame.from_df(FRAME)


@env.task
async def read(frame: DataFrame) -> tuple[pd.DataFrame, pa.Table, pl.DataFrame, int]:
    pieces = [piece.height async for piece in frame.open(pl.DataFrame).iter()]
    table = await frame.open(pa.Table).all()
    return await frame.open(pd.DataFrame).all(), table, await frame.open(pl.DataFrame).all(), sum(pieces)


@env.task
def some(frame: Annotated[DataFrame, OrderedDict(b=str)]) -> pd.DataFrame:
    assert frame.column_names() == ["b"]
    return frame.open(pd.DataFrame).all_sync()


@env.task
def native(frame: Annotated[pd.DataFrame, {"a": int}]) -> Annotated[pa.Table, {"n": pa.int8()}]:
    assert list(frame.columns) == ["a"]
    return pa.table({"n": pa.array([len(frame)], pa.int64() if len(frame) == 1 else pa.int8())})


@env.task
def as_csv(frame: DataFrame) -> Annotated[DataFrame, "csv"]:
    return DataFrame.from_df(frame.open(pl.DataFrame).all_sync())


@env.task
def as_arrow(frame: DataFrame) -> Annotated[DataFrame, "arrow"]:
    return DataFrame.from_df(frame.open(pa.Table).all_sync())


@env.task(cache="auto")
def count(frame: DataFrame) -> int:
    ran.append("count")
    return int(frame.open(pa.Table).all_sync().num_rows)


@env.task
def rows(frame: pd.DataFrame) -> int:
    return len(frame)


@env.task
def made_of_a_table(frame: DataFrame) -> DataFrame:
    return frame.open(pd.DataFrame).all_sync()


@env.task
def mixes() -> list[int]:
    frame: Any = made_of_a_table(pl.DataFrame({"a": [1, 2]}))  # type: ignore[arg-type]
    narrow: Any = native(frame)
    return [count(pa.table({"a": [1]})), count(frame), rows(frame), narrow.num_rows]


@env.task
def all_of_it() -> int:
    return count(as_arrow(make())) + count(make())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ran.clear()
    flyte.init(root=tmp_path / "root")
    return tmp_path


def run(task: Any, *args: Any) -> Any:
    return flyte.with_runcontext("local").run(task, *args)


def test_it_is_opened_as_any_library_s_table(root: Path) -> None:
    frame, table, rows, height = run(read, DataFrame.from_df(FRAME)).outputs()
    pd.testing.assert_frame_equal(frame, FRAME)
    assert table.column_names == ["a", "b", "key"]
    assert rows["b"].to_list() == ["x", "y", None]
    assert height == 3


def test_one_of_another_library_is_opened_as_pandas(root: Path) -> None:
    frame = run(read, DataFrame.from_df(pl.DataFrame({"a": [1]}))).outputs()[0]
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"a": [1]}))


def test_it_is_stored_once_as_parquet_and_read_by_anything(root: Path) -> None:
    done = run(make)
    (stored,) = (root / "root" / "runs" / done.name / "data").iterdir()
    assert parquet.read_table(stored).column_names == ["a", "b", "key"]
    (frame,) = flyte.remote.Run.get(done.name).outputs(make)
    assert frame.uri == f"file://{stored}"
    assert frame.columns() == {"a": int, "b": str, "key": int}
    pd.testing.assert_frame_equal(frame.open(pd.DataFrame).all_sync(), FRAME)


def test_handed_on_it_is_the_same_value(root: Path) -> None:
    done = run(all_of_it)
    assert done.outputs() == (6,)
    assert len(list((root / "root" / "runs" / done.name / "data").iterdir())) == 2  # as Parquet, and as Arrow
    run(count, DataFrame.from_df(FRAME))
    assert ran == ["count", "count"]


def test_only_the_declared_columns_are_read(root: Path) -> None:
    pd.testing.assert_frame_equal(run(some, DataFrame.from_df(FRAME)).outputs()[0], FRAME[["b"]])
    assert run(native, FRAME).outputs()[0].to_pydict() == {"n": [3]}


def test_a_table_without_the_declared_columns_is_refused_at_the_call(root: Path) -> None:
    other = pd.DataFrame({"a": ["one"], "c": [1]})
    with pytest.raises(
        TypeError, match=r"'frame': a table with the columns b: str was expected, got a: .*string, c: int64\. Give"
    ):
        run(some, DataFrame.from_df(other))
    with pytest.raises(
        TypeError, match="'frame': a table with the columns a: int was expected, got a: .*string, c: int64"
    ):
        run(native, other)
    assert "a table with the columns n: int8 was expected, got n: int64" in str(run(native, FRAME[:1]).error)


@pytest.mark.parametrize(("task", "suffix"), [(as_csv, "csv"), (as_arrow, "arrow")])
def test_the_annotation_names_the_format(root: Path, task: Any, suffix: str) -> None:
    (frame,) = run(task, DataFrame.from_df(pa.table({"a": [1, 2]}))).outputs()
    assert frame.format == suffix
    assert frame.uri.endswith(f".{suffix}")
    assert frame.open(pl.DataFrame).all_sync().to_dict(as_series=False) == {"a": [1, 2]}


def test_what_lies_somewhere_already_is_referred_to(root: Path) -> None:
    folder = root / "parts"
    folder.mkdir()
    for part in range(2):
        parquet.write_table(pa.table({"a": [part], "b": ["x"]}), folder / f"{part}.parquet")
    (root / "table.csv").write_text("a,b\n1,x\n2,y\n")
    many = DataFrame.from_existing_remote(f"file://{folder}")
    csv = DataFrame.from_existing_remote(f"file://{root}/table.csv")
    assert run(count, many).outputs() == (2,)
    assert run(count, csv).outputs() == (2,)
    assert run(count, csv).outputs() == (2,)
    assert ran == ["count", "count"]
    (root / "table.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    assert run(count, csv).outputs() == (3,)


def test_a_table_is_written_where_the_user_says(root: Path) -> None:
    async def write() -> DataFrame:
        return await DataFrame.from_local(FRAME, remote_destination=str(root / "out" / "table.csv"))

    frame = asyncio.run(write())
    assert (root / "out" / "table.csv").read_text().startswith('"a","b","key"\n1,"x",7\n')
    assert frame.open(pl.DataFrame).all_sync().height == 3


def test_a_table_of_a_library_stands_for_one_and_one_for_such_a_table(root: Path) -> None:
    assert run(mixes).outputs() == ([1, 2, 2, 1],)
    assert run(some, FRAME).outputs()[0].columns.tolist() == ["b"]


def test_what_the_user_hashes_counts(root: Path) -> None:
    for rows in (1, 2):
        frame = DataFrame.from_local_sync(FRAME[:rows], hash_method=HashFunction.from_fn(lambda df: df["b"].iloc[0]))
        run(count, frame)
    assert ran == ["count"]


def test_bad_input_is_told_in_a_sentence(root: Path) -> None:
    (root / "no.parquet").write_text("no parquet")
    (root / "no.csv").write_text('a,b\n1,x\n2\n"')
    cases: list[tuple[str, type[Exception], str]] = [
        ("no.parquet", ValueError, r"A table in the format parquet was expected at file:///.+no\.parquet, got: "),
        ("no.csv", ValueError, r"A table in the format csv was expected at file:///.+no\.csv, got: "),
        ("nothing.csv", FileNotFoundError, r"There is no table at file:///.+nothing\.csv\."),
    ]
    for name, kind, said in cases:
        with pytest.raises(kind, match=said):
            DataFrame.from_existing_remote(f"file://{root}/{name}").open(pl.DataFrame).all_sync()
    narrow = DataFrame.from_existing_remote(f"file://{root}/ok.csv")
    (root / "ok.csv").write_text("b\n1\n")
    assert "ok.csv: a table with the columns b: str was expected, got b: int64. Give" in str(run(some, narrow).error)
    with pytest.raises(InvalidDeclaration, match="format is one of parquet, csv, arrow, got 'xls'"):
        DataFrame.from_existing_remote("s3://bucket/table", format="xls")
    with pytest.raises(TypeError, match=r"opened as one of pyarrow\.Table, .+, got dict\."):
        DataFrame.from_df(FRAME).open(dict)
    with pytest.raises(TypeError, match=r"made of a table of pyarrow, pandas or polars, got dict\."):
        DataFrame.from_df({"a": [1]})
    with pytest.raises(TypeError, match=r"Write df\.open\(pd\.DataFrame\)\.all\(\)\."):
        DataFrame.from_df(FRAME).all_sync()
    with pytest.raises(TypeError, match="parameter 'frame': expected DataFrame, got dict {'a': 1}"):
        run(count, {"a": 1})
    with pytest.raises(TypeError, match=r"'frame': a table that Arrow can hold was expected, .+ Annotate it"):
        run(count, pd.DataFrame({"a": [1, "x"]}))
    with pytest.raises(TypeError, match="'frame': There is no table at file:///nowhere"):
        run(rows, DataFrame.from_existing_remote("file:///nowhere"))
    with pytest.raises(TypeError, match="'frame': There is no table at file:///nowhere"):
        run(count, DataFrame.from_existing_remote("file:///nowhere"))


def test_a_text_that_is_not_there_is_none_in_a_csv_too(root: Path) -> None:
    table = pa.table({"a": [1, None, 3], "b": ["", None, "NA"]})
    frame = DataFrame.from_df(table, f"{root}/own.csv")
    assert frame.open(pa.Table).all_sync().to_pydict() == table.to_pydict()
    (root / "packed.csv.gz").write_bytes(gzip.compress((root / "own.csv").read_bytes()))
    packed = DataFrame(uri=f"{root}/packed.csv.gz")
    assert packed.open(pl.DataFrame).all_sync().rows() == [(1, ""), (None, None), (3, "NA")]


def test_a_table_is_not_written_under_the_name_of_another_format(root: Path) -> None:
    for name in ("own.xlsx", "own.csv.gz"):
        with pytest.raises(
            InvalidDeclaration, match=rf"got '.*/{name}'\. End its name in \.parquet, \.csv or \.arrow\."
        ):
            DataFrame.from_df(FRAME, f"{root}/{name}")
    assert not list(root.glob("own*"))


def test_what_nobody_could_read_is_refused_at_the_call(root: Path) -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(TypeError, match="'frame': a table whose columns have a name each was expected, got two of 'a'"):
        run(count, twice)
    with pytest.raises(
        TypeError, match="'frame': a table or a place of one was expected, and the DataFrame has neither"
    ):
        run(count, DataFrame())
    with pytest.raises(TypeError, match="a table or a place of one was expected"):
        DataFrame().open(pl.DataFrame).all_sync()


def test_on_the_command_line_it_is_a_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    (root / "program.py").write_text(PROGRAM)
    (root / "table.csv").write_text("a,b\n1,x\n2,y\n")
    words = ["submit", "--local", "--root", str(root / "root"), "program.py", "total"]
    result = CliRunner().invoke(main, [*words, "--frame", "table.csv"])
    assert result.exit_code == 0, result.output
    assert "o0 = 3" in result.output.splitlines()
    assert "--frame TABLE FILE" in CliRunner().invoke(main, [*words, "--help"]).output


PROGRAM = """
import polars as pl
import flyte_ray as flyte

env = flyte.TaskEnvironment("cli")

@env.task
def total(frame: flyte.io.DataFrame) -> int:
    return frame.open(pl.DataFrame).all_sync()["a"].sum()
"""
