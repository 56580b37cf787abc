from __future__ import annotations

import os
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import ObjectMissing
from flyte_ray.io import Dir, File
from flyte_ray.storage import Store, open_store
from tests.faulty_proxy import FaultyProxy

env = flyte.TaskEnvironment("stored")


@env.task
def double(x: int) -> int:
    return 2 * x


@env.task
def total(n: int) -> int:
    return sum(flyte.map(double, range(n)))


@pytest.fixture(params=["disk", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else str(request.getfixturevalue("s3_root"))


def test_a_store_keeps_what_was_put_first(root: str) -> None:
    store: Store = open_store(root)
    assert store.put_if_absent("a/b", b"1")
    assert not store.put_if_absent("a/b", b"2")
    assert store.get("a/b") == b"1"
    store.put("a/c", b"3")
    assert store.keys("a") == ["a/b", "a/c"]
    store.delete(["a/b", "a/none"])
    assert not store.exists("a/b")
    with pytest.raises(ObjectMissing):
        store.get("a/b")


def test_a_put_whose_answer_is_lost_and_that_the_client_repeats_is_ours(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = FaultyProxy(os.environ["AWS_ENDPOINT_URL"], rate=0.0, seed=1)
    with proxy.running() as url:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.setenv(name, url)
        store = open_store(s3_root)
        proxy.planned = ["no answer"]
        assert store.put_if_absent("lost", b"mine")
        assert proxy.faults["no answer"] == 1
        assert not store.put_if_absent("lost", b"another's")


def test_a_run_gives_the_same_result_and_record_on_disk_and_on_s3(root: str) -> None:
    flyte.init(root=root)
    run = flyte.run(total, 20)
    assert run.outputs() == (380,)
    assert flyte.Run.get(run.name).phase.value == "succeeded"


@env.task
def copy(folder: Dir) -> list[File]:
    return list(folder.walk_sync())


def test_files_are_stored_and_read_back_on_disk_and_on_s3(root: str, tmp_path: Path) -> None:
    flyte.init(root=root)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("one")
    (tmp_path / "in" / "deep" / "b.txt").write_text("two")
    run = flyte.run(copy, Dir.from_local_sync(tmp_path / "in"))
    ((a, b),) = run.outputs()
    with a.open_sync("r") as file:
        assert file.read() == "one"
    assert Path(b.download_sync()).read_text() == "two"
    folder = Path(run.inputs()["folder"].download_sync(tmp_path / "out"))
    assert (folder / "deep" / "b.txt").read_text() == "two"
    assert a.exists_sync()
    assert not File.from_existing_remote(f"{a.path}.none").exists_sync()


def test_values_of_a_run_on_disk_go_to_s3_when_a_place_there_is_given(s3_root: str, tmp_path: Path) -> None:
    flyte.init(root=tmp_path / "root")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one")
    raw = f"{s3_root}/raw"
    run = flyte.with_runcontext("local", raw_data_path=raw).run(copy, Dir.from_local_sync(tmp_path / "in"))
    ((file,),) = run.outputs()
    with file.open_sync("r") as opened:
        assert opened.read() == "one"
    assert file.path.startswith(f"{raw}/{run.name}/") and not list((tmp_path / "root").rglob("a.txt"))
