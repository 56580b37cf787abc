"""Files and folders as inputs and outputs."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.io import Dir, File
from flyte_ray.runtime.blobs import RunBlobs
from flyte_ray.storage.remote import RemoteStore
from flyte_ray.types.place import placed
from flyte_ray.types.signing import Pickling

PROGRAM = '''
from pathlib import Path
import flyte_ray as flyte
from flyte_ray.io import Dir, File

env = flyte.TaskEnvironment("files")

@env.task
def shout(text: File) -> File:
    """Write the text in capitals."""
    with text.open_sync("r") as file:
        Path("shouted.txt").write_text(file.read().upper())
    return File.from_local_sync("shouted.txt")

@env.task
def first(folder: Dir, files: list[File]) -> str:
    shouted = shout(next(folder.walk_sync()))
    with shouted.open_sync("r") as file:
        return file.read() + Path(files[0].download_sync()).read_text()
'''

env = flyte.TaskEnvironment("same_file")


@env.task
def same(text: File) -> File:
    return text


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_RAY_ROOT", str(tmp_path / "root"))
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("one ")
    (tmp_path / "letters" / "b.txt").write_text("two ")
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return file


def submit(*words: object) -> str:
    result = CliRunner().invoke(main, ["submit", "--local", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: object) -> str:
    result = CliRunner().invoke(main, ["submit", "--local", *map(str, words)])
    assert result.exit_code == 1, result.output
    return result.output


def test_a_folder_and_files_are_given_as_paths_and_read_inside_of_tasks(program: Path) -> None:
    said = submit(program, "first", "--folder", "letters", "--files", '["letters/b.txt"]')
    assert "ONE two" in said


def test_what_a_run_was_given_lies_in_the_store_and_outlives_the_disk(program: Path) -> None:
    submit("--name", "kept", program, "shout", "--text", "letters/a.txt")
    (program.parent / "letters" / "a.txt").unlink()
    (program.parent / "shouted.txt").unlink()
    run = flyte.remote.Run.get("kept")
    (output,) = run.outputs(same)
    with output.open_sync("r") as file:
        assert file.read() == "ONE "
    assert output.exists_sync()
    assert output.name == "shouted.txt"
    assert Path(run.inputs(same)["text"].download_sync()).read_text() == "one "


def test_values_go_to_the_raw_data_path_when_one_is_given(tmp_path: Path) -> None:
    flyte.init(root=str(tmp_path / "root"))
    (tmp_path / "data.csv").write_text("1")
    run = flyte.with_runcontext("local", raw_data_path=str(tmp_path / "raw")).run(
        same, File.from_local_sync(tmp_path / "data.csv")
    )
    assert [path.name for path in (tmp_path / "raw").rglob("*") if path.suffix] == ["data.csv"]
    assert not list((tmp_path / "root").rglob("data.csv"))
    (output,) = flyte.remote.Run.get(run.name).outputs(same)
    with output.open_sync() as file:
        assert file.read() == b"1"


def test_a_file_that_is_pickled_leaves_the_stores_arguments_behind(tmp_path: Path) -> None:
    store = RemoteStore("s3://b", {"s3": {"secret": "TOPSECRET"}})
    assert "TOPSECRET" not in repr(store)
    with placed(RunBlobs(store, store, "p", Pickling())):
        file: File = File(path="s3://b/p/x")
    assert b"TOPSECRET" not in pickle.dumps(file)
    assert pickle.loads(pickle.dumps(file)).path == file.path


def test_a_path_where_nothing_lies_is_refused_before_anything_runs(program: Path) -> None:
    said = refused(program, "shout", "--text", "nowhere.txt")
    assert "Parameter 'text': a file was expected, got 'nowhere.txt', where nothing lies." in said
    with pytest.raises(FileNotFoundError, match="Expected a local folder, got 'nowhere'"):
        Dir.from_local_sync("nowhere")


def test_a_text_is_no_file(tmp_path: Path) -> None:
    flyte.init(root=str(tmp_path / "root"))
    with pytest.raises(TypeError, match="parameter 'text': expected File, got str 'data.csv'"):
        flyte.with_runcontext("local").run(same, "data.csv")


def test_help_shows_what_is_a_file_and_what_a_folder(program: Path) -> None:
    said = submit(program, "first", "--help")
    assert "--folder FOLDER" in said


def test_async_code_has_the_same_operations(program: Path, tmp_path: Path) -> None:
    async def main() -> None:
        file: File = await File.from_local("letters/a.txt")
        async with file.open("r") as opened:
            assert await opened.read() == "one "
        async with file.open("r") as opened:
            assert [line async for line in opened] == ["one "]
        assert await file.exists()
        assert Path(await file.download(tmp_path / "copy")).read_text() == "one "
        folder: Dir = await Dir.from_local("letters")
        assert [found.name async for found in folder.walk()] == ["a.txt", "b.txt"]
        assert sorted(path.name for path in Path(await folder.download()).iterdir()) == ["a.txt", "b.txt"]
        assert [found.name for found in await folder.list_files()] == ["a.txt", "b.txt"]
        found = await folder.get_file("b.txt")
        assert found is not None and await folder.get_file("c.txt") is None
        with pytest.raises(flyte.errors.UnsupportedError, match="mode 'rb', 'r', 'wb' or 'w', got 'a'"):
            async with file.open("a"):
                pass

    asyncio.run(main())
