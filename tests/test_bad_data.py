"""Data that is not what a task expects: one sentence, exit code 1, and nothing that could be taken for a result.

Credentials that are refused, and a bucket that is missing: `tests/test_s3_trouble.py`, which has the server.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.cli.main import main

PROGRAM = """
import threading
from typing import Annotated

import pandas as pd
import polars as pl

import flyte_ray as flyte
from flyte_ray.io import DataFrame, Dir, File

env = flyte.TaskEnvironment("bad")

class Session:
    def __init__(self) -> None:
        self.lock = threading.Lock()

@env.task
def shout(text: File) -> str:
    with text.open_sync("r") as file:
        return file.read().upper()

@env.task
def finds(path: str) -> str:
    return shout(File.from_local_sync(path))

@env.task
def count(folder: Dir) -> int:
    return len(folder.list_files_sync())

@env.task
def rows(frame: DataFrame) -> int:
    return frame.open(pl.DataFrame).all_sync().height

@env.task
def total(frame: Annotated[DataFrame, {"a": int, "b": str}]) -> int:
    return frame.open(pl.DataFrame).all_sync()["a"].sum()

@env.task
def sums(frame: Annotated[pd.DataFrame, {"a": int}]) -> int:
    return int(frame["a"].sum())

@env.task
def narrows(path: str) -> DataFrame:
    return DataFrame.from_local_sync(pd.read_csv(path), columns={"a": int, "c": float})

@env.task
def passes(path: str) -> int:
    return sums(pd.read_csv(path))

@env.task
def use(session: Session) -> int:
    return 1

@env.task
def connects() -> int:
    return use(Session())

@env.task
def halves(path: str) -> Dir:
    folder = Dir.new_remote("out")
    with folder.new_file("half.csv").open_sync("w") as file:
        file.write("a,b")
        pd.read_csv(path)
    return folder
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("one")
    (tmp_path / "table.csv").write_text("a,b\nx,1\n")
    (tmp_path / "no.csv").write_text('a,b\n1,x\n2\n"')
    return tmp_path


def fails_saying(*words: str) -> str:
    """Submit a task whose run fails, or never begins; return what is said of it, without where it was said."""
    result = CliRunner().invoke(main, ["submit", "--local", "--root", "root", "--name", "bad", "program.py", *words])
    assert result.exit_code == 1, result.output
    assert "Usage:" not in result.output
    (sentence,) = [line for line in result.output.splitlines() if "xpected" in line or "There is no" in line]
    return sentence.partition("Error: ")[2] or sentence


def kept_below_data() -> list[str]:
    return sorted(path.name for path in Path("root/runs/bad/data").rglob("*") if path.is_file())


def test_a_path_that_does_not_exist_is_said_before_anything_runs() -> None:
    said = "expected, got 'none.txt', where nothing lies. Give a path on this machine, or a URL."
    for words, name, kind in (
        (("shout", "--text"), "text", "file"),
        (("count", "--folder"), "folder", "folder"),
        (("rows", "--frame"), "frame", "table"),
    ):
        assert fails_saying(*words, "none.txt") == f"Parameter '{name}': a {kind} was {said}"
    assert not Path("root").exists()


def test_a_reference_to_what_does_not_exist_is_said_at_the_call(folder: Path) -> None:
    url = f"file://{folder}/none.txt"
    said = f"Task 'bad.shout', parameter 'text': There is no file {url}: it was never written, or has been deleted."
    assert fails_saying("shout", "--text", url) == said
    assert not Path("root/runs/bad").exists()


def test_a_path_that_a_task_does_not_find_fails_it() -> None:
    said = "Expected a local file, got 'none.txt', where there is none."
    assert fails_saying("finds", "--path", "none.txt") == said
    assert kept_below_data() == []


def test_a_folder_where_a_file_is_meant_is_refused_and_the_other_way_round(folder: Path) -> None:
    said = "a file was expected, got the folder"
    taken = "Take flyte.io.Dir for folders."
    assert fails_saying("shout", "--text", "letters") == f"Parameter 'text': {said} 'letters'. {taken}"
    other = "Parameter 'folder': a folder was expected, got the file 'table.csv'. Take flyte.io.File for files."
    assert fails_saying("count", "--folder", "table.csv") == other
    assert fails_saying("finds", "--path", "letters") == f"{said} '{folder}/letters'. {taken}"


def test_a_csv_that_is_none_is_said_with_the_row() -> None:
    said = fails_saying("rows", "--frame", "no.csv")
    assert said.startswith("A table in the format csv was expected at file:///")
    assert "/no.csv, got: CSV parse error: Row #3: Expected 2 columns, got 1: 2. Name its format, or correct" in said
    assert kept_below_data() == ["no.csv"]


def test_a_table_of_other_types_than_are_declared_is_refused() -> None:
    said = (
        "a table with the columns a: int, b: str was expected, got a: string, b: int64. Give it the column 'a' of that"
    )
    assert said in fails_saying("total", "--frame", "table.csv")


def test_a_table_in_memory_of_other_types_is_refused_at_the_call() -> None:
    said = "Task 'bad.sums', parameter 'frame': a table with the columns a: int was expected, got a: "
    assert fails_saying("passes", "--path", "table.csv").startswith(said)
    assert kept_below_data() == []


def test_columns_that_are_not_there_are_named() -> None:
    said = fails_saying("narrows", "--path", "table.csv")
    assert said.startswith("a table with the columns a: int, c: float was expected, got a: ")
    assert kept_below_data() == []


def test_an_object_that_is_deleted_between_runs_is_named(folder: Path) -> None:
    url = f"file://{folder}/letters/a.txt"
    words = ["submit", "--local", "--root", "root", "program.py", "shout", "--text", url]
    assert CliRunner().invoke(main, words).exit_code == 0
    (folder / "letters" / "a.txt").unlink()
    assert f"There is no file {url}: it was never written, or has been deleted." in fails_saying("shout", "--text", url)


@pytest.mark.filterwarnings("ignore:Values of type Session")
def test_a_type_that_cannot_be_stored_is_named_with_its_task_and_what_teaches_it() -> None:
    result = CliRunner().invoke(main, ["submit", "--local", "--root", "root", "program.py", "connects"])
    assert result.exit_code == 1
    assert "Task 'bad.use', parameter 'session': values must be storable, got Session <" in result.output
    assert (
        "cannot pickle '_thread.lock' object. Pass what it is made from, and make it inside the task, or"
        in result.output
    )
    assert "say how Session is stored: flyte.types.TypeEngine.register(...) of a TypeTransformer." in result.output


def test_what_was_being_written_when_a_task_failed_is_nowhere() -> None:
    result = CliRunner().invoke(
        main, ["submit", "--local", "--root", "root", "--name", "bad", "program.py", "halves", "--path", "none.csv"]
    )
    assert result.exit_code == 1 and "No such file or directory: 'none.csv'" in result.output
    assert kept_below_data() == []
    flyte.init(root="root")
    assert flyte.remote.Run.get("bad").phase.value == "failed"
