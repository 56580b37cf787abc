"""Files and folders that tasks write, refer to and hand on, with a root on disk and on S3."""

from __future__ import annotations

import asyncio
import http.server
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray import storage
from flyte_ray.errors import NotInTaskContextError, RuntimeUserError
from flyte_ray.io import Dir, EmptyDir, File, HashFunction, HashlibAccumulator
from flyte_ray.runtime import blobs
from flyte_ray.storage import open_store

env = flyte.TaskEnvironment("file_values")
ran: Counter[str] = Counter()


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    ran.clear()
    s3 = request.param == "s3"
    where = f"{request.getfixturevalue('s3_root')}/{uuid.uuid4().hex}" if s3 else str(tmp_path / "root")
    flyte.init(root=where)
    return where


@pytest.fixture
def local(tmp_path: Path) -> None:
    ran.clear()
    flyte.init(root=tmp_path / "root")


def run(task: Any, *args: Any, **kwargs: Any) -> Any:
    return flyte.with_runcontext("local").run(task, *args, **kwargs).outputs()[0]


def text_of(file: File[Any]) -> str:
    with file.open_sync("r") as opened:
        return str(opened.read())


@env.task
def write(text: str, name: str = "out.txt") -> File:
    file: File = File.new_remote(name)
    with file.open_sync("w") as opened:
        opened.write(text)
        assert not file.exists_sync()
    assert file.exists_sync()
    return file


@env.task
async def write_later(pieces: list[str]) -> File:
    file: File = File.new_remote("later.bin")
    async with file.open("wb") as opened:
        for piece in pieces:
            await opened.write(piece.encode())
    return file


def test_a_file_is_written_as_a_stream_and_read_back(root: str) -> None:
    file = run(write, "one\ntwo\n")
    assert text_of(file) == "one\ntwo\n" and file.name == "out.txt"
    later = run(write_later, ["one\n", "two\n"])
    assert text_of(later) == "one\ntwo\n"
    assert later.hash == file.hash and str(file.hash).startswith("sha256:")


@env.task
def write_half() -> File:
    file: File = File.new_remote()
    with file.open_sync("wb") as opened:
        opened.write(b"half")
        ran[file.path] += 1
        raise ValueError("broken")


def test_a_write_that_fails_leaves_no_file(root: str) -> None:
    with pytest.raises(RuntimeUserError, match="broken"):
        run(write_half)
    (path,) = ran
    assert not File(path=path).exists_sync()


@env.task
def length(file: File) -> int:
    ran["length"] += 1
    return len(text_of(file))


@env.task(cache="auto")
def cached_length(file: File) -> int:
    ran["cached_length"] += 1
    return len(text_of(file))


@env.task
def lengths(texts: list[str]) -> list[int]:
    return [cached_length(write(text)) for text in texts]


def test_the_cache_knows_files_by_what_they_hold(root: str) -> None:
    assert run(lengths, ["four", "fives"]) == [4, 5]
    assert run(lengths, ["four", "sixsix"]) == [4, 6]
    assert ran["cached_length"] == 3


def test_a_local_file_and_a_written_one_of_the_same_content_and_name_are_the_same(root: str, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("four")
    run(lengths, ["four"])
    assert run(cached_length, File.from_local_sync(tmp_path / "out.txt")) == 4
    assert ran["cached_length"] == 1
    (tmp_path / "other.txt").write_text("four")
    run(cached_length, File.from_local_sync(tmp_path / "other.txt"))
    assert ran["cached_length"] == 2


def test_a_reference_is_another_value_when_what_it_refers_to_changes(root: str) -> None:
    store = open_store(root)
    store.put("input/data.txt", b"one")
    file: File = File.from_existing_remote(f"{store.uri}/input/data.txt")
    assert [run(cached_length, file) for _ in range(2)] == [3, 3]
    store.put("input/data.txt", b"other")
    assert run(cached_length, file) == 5
    assert ran["cached_length"] == 2


def test_a_hash_that_is_given_stands_for_the_content(root: str) -> None:
    store = open_store(root)
    for name in ("a", "b"):
        store.put(f"input/{name}", name.encode())
        run(cached_length, File.from_existing_remote(f"{store.uri}/input/{name}", file_cache_key="v1"))
    assert ran["cached_length"] == 1


@env.task
def total(folder: Dir) -> int:
    return sum(len(text_of(file)) for file in folder.walk_sync())


@env.task
def same_files(files: list[File]) -> list[File]:
    return files


@env.task
def same_folder(folder: Dir) -> Dir:
    return folder


@env.task
def write_each(names: list[str]) -> list[File]:
    files: list[File] = [File.new_remote(name) for name in names]
    for file in files:
        with file.open_sync("w") as opened:
            opened.write(str(file.name))
    return files


@env.task(cache="auto")
def names(folder: Dir) -> list[str]:
    ran["names"] += 1
    return [str(file.name) for file in folder.walk_sync()]


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    folder = tmp_path / "letters"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    (folder / "b.csv").write_text("three")
    (folder / "deep" / "c.txt").write_text("seven..")
    (folder / "deep" / "er" / "d ü#.txt").write_text("x")
    return folder


def test_a_folder_is_walked_listed_and_looked_into(root: str, letters: Path) -> None:
    folder = flyte.with_runcontext("local").run(total, Dir.from_local_sync(letters)).inputs(total)["folder"]

    def walked(**how: Any) -> list[str]:
        return [str(file.name) for file in folder.walk_sync(**how)]

    assert walked() == ["a.txt", "b.csv", "c.txt", "d ü#.txt"]
    assert walked(recursive=False) == walked(max_depth=1) == ["a.txt", "b.csv"]
    assert walked(max_depth=2) == ["a.txt", "b.csv", "c.txt"]
    assert walked(file_pattern="*.txt") == ["a.txt", "c.txt", "d ü#.txt"]
    found = folder.get_file_sync("deep/er/d ü#.txt")
    assert found is not None and text_of(found) == "x"
    assert folder.get_file_sync("deep") is None and folder.get_file_sync("none") is None


def test_a_folder_is_downloaded_as_it_was(root: str, letters: Path, tmp_path: Path) -> None:
    folder = flyte.with_runcontext("local").run(total, Dir.from_local_sync(letters)).inputs(total)["folder"]
    copy = Path(folder.download_sync(tmp_path / "copy"))

    def contents(top: Path) -> dict[str, str]:
        return {path.relative_to(top).as_posix(): path.read_text() for path in top.rglob("*") if path.is_file()}

    assert contents(copy) == contents(letters) and len(contents(copy)) == 4
    (copy / "own.txt").write_text("stays")
    folder.download_sync(copy)
    assert contents(copy) == {**contents(letters), "own.txt": "stays"}


def test_a_folder_that_is_referred_to_is_another_value_when_a_file_in_it_changes(root: str) -> None:
    store = open_store(root)
    store.put("input/a", b"1")
    folder: Dir = Dir.from_existing_remote(f"{store.uri}/input/")
    assert [run(names, folder) for _ in range(2)] == [["a"], ["a"]]
    store.put("input/b", b"1")
    assert run(names, folder) == ["a", "b"]
    assert ran["names"] == 2


@env.task
def write_folder() -> Dir:
    folder: Dir = Dir.new_remote("made")
    for name in ("a.txt", "deep/b.txt"):
        with folder.new_file(name).open_sync("w") as opened:
            opened.write(name)
    return folder


def test_a_folder_is_written_file_by_file_and_told_by_what_it_holds(root: str) -> None:
    folder, again = run(write_folder), run(write_folder)
    assert [text_of(file) for file in folder.walk_sync()] == ["a.txt", "deep/b.txt"]
    assert folder.path != again.path and folder.hash == again.hash and str(folder.hash).startswith("sha256:")


@env.task
def nothing(folder: Dir) -> Dir:
    assert list(folder.walk_sync()) == [] and folder.exists_sync()
    return folder


def test_an_empty_folder_stays_one(root: str, tmp_path: Path) -> None:
    (tmp_path / "hollow" / "inside").mkdir(parents=True)
    for given, name in ((Dir.from_local_sync(tmp_path / "hollow"), "hollow"), (Dir.empty(), "empty")):
        folder = run(nothing, given)
        assert folder.name == name
        assert list(Path(folder.download_sync(tmp_path / f"{name} copy")).iterdir()) == []
    assert isinstance(Dir.empty(), EmptyDir)


@env.task(retries=1)
def named() -> str:
    ran["named"] += 1
    file: File = File.named_remote("model.bin")
    if not file.exists_sync():
        with file.open_sync("w") as opened:
            opened.write(f"attempt {ran['named']}")
        raise ConnectionError("after it was written")
    return text_of(file)


def test_a_named_file_is_found_by_the_next_attempt(root: str) -> None:
    assert run(named) == "attempt 1"
    assert ran["named"] == 2


@env.task
def copy_out(file: File, to: str) -> File:
    return File.from_local_sync(file.download_sync(), to)


def test_a_file_is_copied_to_a_place_of_ones_own(root: str, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("text")
    target = f"{open_store(root).uri}/published/{uuid.uuid4().hex}.txt"
    file = run(copy_out, File.from_local_sync(tmp_path / "in.txt"), target)
    assert file.path == target and text_of(file) == "text"
    assert str(file.hash).startswith("sha256:")
    folder: Dir = Dir.from_local_sync(tmp_path, f"{open_store(root).uri}/published/all")
    assert folder.get_file_sync("in.txt") is not None


@env.task
async def with_functions(text: str) -> list[str]:
    written = await storage.put_stream(iter([text.encode(), b"!"]), name="stream.txt")
    pieces = [piece async for piece in storage.get_stream(written, chunk_size=3)]
    local = await storage.get(written)
    again = await storage.put(local)
    opened = await storage.open(again)
    read = await opened.read()
    await opened.close()
    assert await storage.exists(again) and not storage.exists_sync(f"{again}.none")
    return [Path(local).name, read.decode(), *(piece.decode() for piece in pieces)]


def test_the_functions_of_flyte_storage_work_in_the_place_of_the_run(root: str) -> None:
    assert run(with_functions, "hello") == ["stream.txt", "hello!", "hel", "lo!"]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)

        def send_head(self) -> Any:
            if self.path == "/forbidden":
                return self.send_error(403)
            return super().send_head()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_files_are_read_from_the_web_and_by_file_urls(local: None, web: str, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("hello")
    for uri in (f"{web}/page.txt", f"file://{tmp_path}/page.txt"):
        file: File = File.from_existing_remote(uri)
        assert run(length, file) == 5 and file.exists_sync()
        assert Path(file.download_sync()).read_text() == "hello"
    assert not File.from_existing_remote(f"{web}/none").exists_sync()
    with pytest.raises(flyte.errors.StoreError, match="it cannot be reached: Cannot connect to host 127.0.0.1:1"):
        File.from_existing_remote("http://127.0.0.1:1/x").download_sync()
    with pytest.raises(flyte.errors.StoreError, match="the server answers 403"):
        File.from_existing_remote(f"{web}/forbidden").download_sync()
    with pytest.raises(flyte.errors.StoreError, match="a web server has no folders"):
        list(Dir.from_existing_remote(f"{web}/").walk_sync())


def test_a_local_file_is_stored_when_a_task_takes_it_and_not_before(local: None, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("text")
    file: File = File.from_local_sync(tmp_path / "in.txt")
    assert not (tmp_path / "root").exists() and file.hash is None
    run(length, file)
    assert len(list((tmp_path / "root").rglob("in.txt"))) == 1


def test_a_file_that_is_changed_between_two_calls_is_another_file(local: None, tmp_path: Path) -> None:
    @env.task
    def twice() -> list[int]:
        path = tmp_path / "changing.txt"
        found = []
        for text in ("one", "two", "3333"):
            path.write_text(text)
            found.append(length(File.from_local_sync(path)))
        return found

    assert run(twice) == [3, 3, 4] and ran["length"] == 3


def test_hash_methods_are_given_the_content(local: None, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("text")
    path = tmp_path / "in.txt"
    assert File.from_local_sync(path, hash_method=HashFunction.from_fn(lambda data: f"n{len(data)}")).hash == "n4"
    assert len(str(File.from_local_sync(path, hash_method=HashlibAccumulator.from_hash_name("md5")).hash)) == 32
    assert File.from_local_sync(path, hash_method="mine").hash == "mine"
    with pytest.raises(TypeError, match="hash_method must be a hash, or have 'update' and 'result', got int"):
        File.from_local_sync(path, hash_method=3)  # type: ignore[arg-type]

    @env.task
    def hashed() -> list[File]:
        found = []
        for method in ("mine", HashFunction.from_fn(lambda data: data.decode())):
            file: File = File.new_remote(hash_method=method)
            for text in ("first", "second"):
                with file.open_sync("w") as opened:
                    opened.write(text)
            found.append(file)
        return found

    assert [file.hash for file in run(hashed)] == ["mine", "second"]


def test_a_file_is_not_a_folder_and_a_folder_no_file(local: None, letters: Path) -> None:
    with pytest.raises(IsADirectoryError, match="a file was expected, got the folder"):
        File.from_local_sync(letters)
    with pytest.raises(NotADirectoryError, match="a folder was expected, got the file"):
        Dir.from_local_sync(letters / "a.txt")
    with pytest.raises(TypeError, match="parameter 'file': a file was expected, got the folder"):
        run(length, File(path=str(letters)))
    with pytest.raises(TypeError, match="parameter 'folder': a folder was expected, got the file"):
        run(total, Dir.from_existing_remote(f"file://{letters}/a.txt"))
    with pytest.raises(ValueError, match="from_existing_remote expects a URL"):
        File.from_existing_remote("data.csv")


def test_a_folder_with_a_link_to_nothing_is_refused(local: None, letters: Path) -> None:
    (letters / "link").symlink_to("nowhere")
    with pytest.raises(TypeError, match="the link .*link' leads to nothing"):
        run(total, Dir.from_local_sync(letters))


def test_what_links_in_a_folder_lead_to_is_a_part_of_it(root: str, letters: Path) -> None:
    for name, to in (("linked", "deep"), ("link.txt", "a.txt")):
        (letters / name).symlink_to(to)
    referred: Dir = Dir.from_existing_remote(f"file://{letters}")
    for folder in (run(same_folder, Dir.from_local_sync(letters)), referred):
        paths = [file.path.partition("/letters/")[2] for file in folder.walk_sync()]
        assert [path for path in paths if "link" in path] == ["link.txt", "linked/c.txt", "linked/er/d ü#.txt"]


def test_what_is_no_file_is_refused_before_it_is_read(local: None, letters: Path) -> None:
    pipe = letters.parent / "pipe"
    os.mkfifo(pipe)  # to read it would wait for ever
    with pytest.raises(TypeError, match="parameter 'file': '.*/pipe' is neither a file nor a folder"):
        run(length, File(path=str(pipe)))
    (letters / "deep" / "up").symlink_to("..")
    with pytest.raises(TypeError, match="parameter 'folder': the link '.*/deep/up' leads to a folder that it lies in"):
        run(total, Dir.from_local_sync(letters))


def test_a_name_that_is_no_utf_8_is_refused_at_the_call(local: None, letters: Path) -> None:
    strange = letters / os.fsdecode(b"strange\xff.txt")
    strange.write_text("text")
    with pytest.raises(TypeError, match=r"parameter 'file': the name of '.*' is no UTF-8"):
        run(length, File.from_local_sync(strange))
    with pytest.raises(TypeError, match=r"parameter 'folder': the name of '.*' is no UTF-8"):
        run(total, Dir.from_local_sync(letters))


ODD_NAMES = (
    "a b",
    "per%20cent",
    "q?x=1",
    "hash#",
    "star*[a]{b}",
    "quote'\"",
    "back\\slash",
    "new\nline",
    "e\u0301",
    "é" * 127,
)


def test_names_may_be_anything_that_a_disk_takes(root: str, letters: Path, tmp_path: Path) -> None:
    for name in ODD_NAMES:
        (letters / name).write_text(name)
    files: list[File] = [File.from_local_sync(letters / name) for name in ODD_NAMES]
    copies: list[File] = [File.from_local_sync(file.path, f"{root}/own/{file.name}") for file in files]
    for file in (*copies, *run(write_each, [str(file.name) for file in files]), *run(same_files, files)):
        assert text_of(file) == file.name
        assert Path(file.download_sync(tmp_path / "copies/")).read_text() == file.name
    stored = run(same_folder, Dir.from_local_sync(letters))
    assert set(os.listdir(stored.download_sync())) == {*ODD_NAMES, "a.txt", "b.csv", "deep"}
    assert all(stored.get_file_sync(name) for name in ODD_NAMES)


def test_what_is_changed_while_it_is_stored_is_refused_and_leaves_nothing(
    root: str, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (letters / "large.bin").write_bytes(b"x" * blobs.WORTH_ASKING)
    digest = blobs._digest

    def changed_meanwhile(path: Path) -> str:
        found = digest(path)
        if path.name == "large.bin":
            path.write_bytes(b"y" * path.stat().st_size)
            os.utime(path, ns=(0, time.time_ns()))  # a disk may count time in steps that are longer than this test
        return found

    monkeypatch.setattr(blobs, "_digest", changed_meanwhile)
    for task, value in ((length, File.from_local_sync(letters / "large.bin")), (total, Dir.from_local_sync(letters))):
        with pytest.raises(TypeError, match=r"'.*/letters.*' was changed while it was stored\. Pass it on when nobody"):
            run(task, value)
    assert not [key for key in open_store(root).keys("") if "large.bin" in key]
    monkeypatch.setattr(blobs, "_digest", digest)
    assert run(length, File.from_local_sync(letters / "large.bin")) == blobs.WORTH_ASKING


def test_where_a_file_cannot_be_written_is_said_by_its_name(local: None, letters: Path) -> None:
    place = letters / ("x" * 300)
    with pytest.raises(OSError, match=f"too long: '{place}'$"):
        File.from_local_sync(letters / "a.txt", str(place))
    with pytest.raises(OSError, match=f"too long: '{place}'$"), File(path=str(place)).open_sync("w") as file:
        file.write("text")
    assert not [name for name in os.listdir(letters) if name.startswith(".")]


def test_what_is_recorded_is_never_written_to(local: None, tmp_path: Path) -> None:
    @env.task
    def overwrite(file: File) -> None:
        with file.open_sync("w") as opened:
            opened.write("other")

    (tmp_path / "in.txt").write_text("text")
    with pytest.raises(flyte.errors.RuntimeUserError, match="is recorded, and what is recorded is never changed"):
        run(overwrite, File.from_local_sync(tmp_path / "in.txt"))


def test_outside_of_a_task_a_new_file_needs_a_path(local: None, tmp_path: Path) -> None:
    with pytest.raises(NotInTaskContextError, match=r"File\.new_remote makes a file of the run whose task calls it"):
        File.new_remote()
    file: File = File(path=str(tmp_path / "own.txt"))
    with file.open_sync("w") as opened:
        opened.write("text")
        assert os.listdir(tmp_path) != ["own.txt"]
    assert os.listdir(tmp_path) == ["own.txt"]


@env.task
async def tick(until: str) -> int:
    """Count turns of the loop until something lies at a path."""
    turns = 0
    while not os.path.exists(until):
        turns += 1
        await asyncio.sleep(0.001)
    return turns


@env.task
async def hand_over(path: str, marker: str) -> int:
    ticking = asyncio.ensure_future(tick(marker))
    await asyncio.sleep(0.01)
    await look.aio(File.from_local_sync(path), marker)
    return await ticking


@env.task
def look(file: File, marker: str) -> None:
    Path(marker).touch()


def test_async_code_goes_on_while_a_file_is_stored(
    local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop turns while a thread hashes the file, which waits until it has done so."""
    (tmp_path / "in.txt").write_text("text")
    hashing = threading.Event()
    digest = blobs._digest

    def wait_for_the_loop(path: Path) -> str:
        hashing.set()
        assert turned.wait(30)
        return digest(path)

    turned = threading.Event()
    first = asyncio.sleep

    async def note(seconds: float) -> None:
        if hashing.is_set():
            turned.set()
        await first(seconds)

    monkeypatch.setattr(blobs, "_digest", wait_for_the_loop)
    monkeypatch.setattr(asyncio, "sleep", note)
    assert run(hand_over, str(tmp_path / "in.txt"), str(tmp_path / "marker")) > 0


@env.task
def each_length(folder: Dir) -> list[int]:
    return [cached_length(file) for file in folder.walk_sync()]


def test_of_a_folder_only_the_files_that_have_changed_are_other_files(root: str, letters: Path) -> None:
    assert run(each_length, Dir.from_local_sync(letters)) == [3, 5, 7, 1]
    (letters / "a.txt").write_text("changed")
    assert run(each_length, Dir.from_local_sync(letters)) == [7, 5, 7, 1]
    assert ran["cached_length"] == 5
