"""Listing and copying by path and URL, with a store of fsspec's that lives in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import flyte_ray as flyte
from flyte_ray import storage
from flyte_ray.errors import StoreError
from flyte_ray.io import Dir, File
from flyte_ray.storage import open_store
from flyte_ray.storage.patient import Patience, PatientStore
from flyte_ray.storage.trouble import explain
from flyte_ray.storage.writing import writing


@pytest.fixture
def memory() -> Iterator[str]:
    folder = f"/{uuid.uuid4().hex}"
    yield f"memory:/{folder}"
    if fsspec.filesystem("memory").exists(folder):
        fsspec.filesystem("memory").rm(folder, recursive=True)


def test_a_root_may_be_whatever_fsspec_reaches(memory: str, tmp_path: Path) -> None:
    env = flyte.TaskEnvironment("anywhere")

    @env.task
    def shout(text: File) -> File:
        loud: File = File.new_remote("loud.txt")
        with text.open_sync("r") as source, loud.open_sync("w") as target:
            target.write(source.read().upper())
        return loud

    flyte.init(root=memory)
    (tmp_path / "in.txt").write_text("one")
    (file,) = flyte.with_runcontext("local").run(shout, File.from_local_sync(tmp_path / "in.txt")).outputs()
    assert file.path.startswith(memory) and Path(file.download_sync()).read_text() == "ONE"


def test_what_fails_half_way_is_not_there(memory: str) -> None:
    store = PatientStore(open_store(memory), Patience("the test"))
    with pytest.raises(ZeroDivisionError), writing(store, "half") as file:
        file.write(b"1")
        raise ZeroDivisionError
    assert not store.exists("half")
    store.put_files({})


def test_folders_are_put_and_got(memory: str, tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "in" / "deep").mkdir(parents=True)
        (tmp_path / "in" / "deep" / "a").write_text("one")
        target = await storage.put(str(tmp_path / "in"), f"{memory}/all", recursive=True)
        assert target == f"{memory}/all"
        got = Path(await storage.get(target, tmp_path / "out", recursive=True))
        assert (got / "deep" / "a").read_text() == "one"
        single = await storage.get(f"{target}/deep/a", f"{tmp_path}/folder/")
        assert single == f"{tmp_path}/folder/a"
        with pytest.raises(IsADirectoryError, match="Say recursive=True"):
            await storage.put(str(tmp_path / "in"), target)
        for recursive in (False, True):
            with pytest.raises(FileNotFoundError, match="There is no (file|folder)"):
                await storage.put(str(tmp_path / "none"), target, recursive=recursive)
            with pytest.raises(FileNotFoundError, match="There is no (file|folder)"):
                await storage.get(f"{memory}/none", recursive=recursive)

    asyncio.run(main())


def test_a_name_that_leads_out_of_its_folder_is_not_copied(memory: str, tmp_path: Path) -> None:
    listed = {f"{memory}/in/../../out": {"type": "file", "size": 1}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(fsspec.filesystem("memory")), "find", lambda *_, **__: listed)
        with pytest.raises(StoreError, match="its name leads out of the folder"):
            Dir.from_existing_remote(f"{memory}/in").download_sync(tmp_path / "copy")
    assert not list(tmp_path.iterdir())


class Hosted(MemoryFileSystem):  # type: ignore[misc]
    """A store whose URLs name the host, as those of `ftp://`, `sftp://` and `webhdfs://` do."""

    protocol = "hosted"

    def __init__(self, host: str, user: str = "nobody", **given: Any) -> None:
        super().__init__(**given)
        reached.append((host, user))

    @staticmethod
    def _get_kwargs_from_urls(uri: str) -> dict[str, Any]:
        return {"host": uri.partition("://")[2].partition("/")[0]}


reached: list[tuple[str, str]] = []


def test_what_a_url_says_of_how_it_is_reached_is_told_to_fsspec() -> None:
    fsspec.register_implementation("hosted", Hosted, clobber=True)
    open_store(f"hosted://there/{uuid.uuid4().hex}", {"hosted": {"user": "me"}}).put("a", b"1")
    assert reached == [("there", "me")]


def test_the_functions_take_what_those_of_flyte_take(memory: str) -> None:
    store = open_store(memory)
    store.put("a", b"1")
    assert storage.exists_sync(f"{memory}/a", anonymous=True)
    assert Path(asyncio.run(storage.get(f"{memory}/a", block_size=10))).read_bytes() == b"1"


def test_what_a_client_adds_below_its_sentence_is_left_out() -> None:
    said = explain("abfs://runs/x", ValueError("The specified container does not exist.\nRequestId:1\n<Error></Error>"))
    assert said == "ValueError: The specified container does not exist"
