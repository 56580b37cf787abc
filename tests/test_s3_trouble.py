"""What becomes of data when the S3 server dies in the middle, refuses who asks, or has not what is asked for."""

from __future__ import annotations

import datetime
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.cli.main import main
from flyte_ray.errors import ObjectMissing, RuntimeUserError, StoreError
from flyte_ray.io import Dir, File
from flyte_ray.storage import S3, Store, ensure_writable, open_store, s3, writing
from flyte_ray.storage.filesystems import locate
from flyte_ray.storage.patient import Patience, PatientStore
from flyte_ray.storage.providers import options_of
from flyte_ray.storage.writing import writing as writing_object
from tests.s3_server import S3Server

MIB = 1 << 20
env = flyte.TaskEnvironment("troubled")


@pytest.fixture
def root(s3_root: str) -> str:
    return f"{s3_root}/{uuid.uuid4().hex}"


@pytest.fixture
def store(root: str) -> Store:
    return open_store(root)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have objects of a few MiB go in parts."""
    for module in (s3, writing):
        monkeypatch.setattr(module, "PART", 5 * MIB)
    monkeypatch.setattr(s3, "FIRST", MIB)


@pytest.fixture
def large(tmp_path: Path, small_parts: None) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(MIB) * 23)
    return path


def unfinished(root: str) -> list[Any]:
    """List the uploads that were begun and neither finished nor given up."""
    fs, path = locate(root, {})
    bucket, _, prefix = path.partition("/")
    return list(fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix).get("Uploads", []))


class Outage:
    """Kills the server when a request for a part is made the second time, and starts it again."""

    def __init__(self, server: S3Server, call: Callable[..., Any]) -> None:
        self.server, self.call, self.asked = server, call, 0
        self.back = threading.Thread(target=server.start)

    async def __call__(self, *args: Any) -> Any:
        self.asked += 1
        if self.asked == 2:
            self.server.kill()
            self.back.start()
        return await self.call(*args)


@pytest.fixture
def outage(s3_running: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Outage]]:
    begun: list[Outage] = []

    def begin(name: str) -> Outage:
        found = Outage(s3_running, getattr(s3, name))
        begun.append(found)
        monkeypatch.setattr(s3, name, found)
        return found

    yield begin
    for each in begun:
        each.back.join()
        assert each.asked >= 2


def test_large_objects_go_and_come_in_parts(store: Store, large: Path, tmp_path: Path) -> None:
    store.put_file("a/large", str(large))
    assert store.get("a/large") == large.read_bytes()
    copy = File.from_existing_remote(f"{store.uri}/a/large").download_sync(tmp_path / "copy")
    assert Path(copy).read_bytes() == large.read_bytes()
    for size in (0, 1, MIB, MIB + 1):
        store.put("small", b"x" * size)
        assert store.get("small") == b"x" * size


def test_an_upload_is_finished_when_the_server_was_killed_in_its_middle(
    root: str, large: Path, outage: Callable[[str], Outage]
) -> None:
    outage("_send_part")
    store = PatientStore(open_store(root), Patience("the test"))
    store.put_file("large", str(large))
    assert store.get("large") == large.read_bytes()
    assert not unfinished(root)


def test_a_stream_goes_on_when_the_server_was_killed_in_its_middle(
    root: str, large: Path, outage: Callable[[str], Outage]
) -> None:
    outage("_send_part")
    store = PatientStore(open_store(root), Patience("the test"))
    data = large.read_bytes()
    with writing_object(store, "stream") as file:
        for start in range(0, len(data), 100_000):
            file.write(data[start : start + 100_000])
        assert not store.exists("stream")
    assert store.get("stream") == data
    assert not unfinished(root)


def test_a_copy_is_finished_when_the_server_was_killed_in_its_middle(
    root: str, store: Store, large: Path, tmp_path: Path, outage: Callable[[str], Outage]
) -> None:
    store.put_file("large", str(large))
    outage("_get")
    File.from_existing_remote(f"{root}/large").download_sync(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()


def test_a_stream_that_fails_leaves_nothing_to_be_taken_for_a_file(root: str, store: Store, small_parts: None) -> None:
    for size in (10, 12 * MIB):
        with pytest.raises(ZeroDivisionError), writing_object(store, "half") as file:
            file.write(b"x" * size)
            raise ZeroDivisionError
        assert not store.exists("half")
    assert not unfinished(root)


def test_a_copy_that_fails_leaves_nothing_to_be_taken_for_a_file(
    root: str, store: Store, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_file("folder/large", str(large))
    store.put("folder/small", b"1")

    async def fail(*_: object) -> None:
        raise PermissionError("taken away")

    monkeypatch.setattr(s3, "_pieces", fail)
    for value, name in ((File, "folder/large"), (Dir, "folder")):
        with pytest.raises(PermissionError, match=f"Cannot read {root}/{name}"):
            value.from_existing_remote(f"{root}/{name}").download_sync(tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["large.bin"]


def test_a_copy_is_of_one_version_of_an_object_that_is_replaced_meanwhile(
    root: str, store: Store, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_file("large", str(large))
    newer = b"new " * (6 * MIB)
    first = s3._get

    async def replace_once(fs: Any, path: str, start: int, end: int) -> Any:
        found = await first(fs, path, start, end)
        if start == 0 and not replaced:
            replaced.append(path)
            await fs._pipe_file(path, newer)
        return found

    replaced: list[str] = []
    monkeypatch.setattr(s3, "_get", replace_once)
    copy = File.from_existing_remote(f"{root}/large").download_sync(tmp_path / "copy")
    assert Path(copy).read_bytes() == newer


def test_a_listing_shows_what_another_process_has_just_written_and_deleted(store: Store) -> None:
    other = locate(store.uri, {"s3": {"max_concurrency": 3}})[0]
    assert store.keys("") == [] and not store.exists("a")
    other.pipe_file(f"{store.uri}/a", b"1")
    assert store.keys("") == ["a"] and store.exists("a") and store.get("a") == b"1"
    other.rm_file(f"{store.uri}/a")
    assert store.keys("") == [] and not store.exists("a")


def test_a_process_that_was_forked_uses_connections_of_its_own(store: Store) -> None:
    store.put("a", b"parent")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.put("b", store.get("a") + b" and child")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get("b") == b"parent and child"


REFUSALS = [
    (S3(access_key_id="testkey", secret_access_key="wrong"), r"the store refuses the credentials \(SignatureDoesNot"),
    (
        S3(access_key_id="nobody", secret_access_key="wrong"),
        r"the store refuses the credentials \(InvalidAccessKeyId\)",
    ),
]


@pytest.mark.parametrize(("given", "said"), REFUSALS, ids=["secret", "key"])
def test_credentials_that_are_refused_are_said_and_never_taken_for_an_empty_store(
    root: str, given: S3, said: str
) -> None:
    store = open_store(root, options_of(given, root))
    for ask in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: store.keys("a")):
        with pytest.raises(StoreError, match=said):
            ask()
    with pytest.raises(StoreError, match="the store refuses the credentials"):
        store.exists("a")
    with pytest.raises(StoreError, match=f"The root {root} should be writable, but: Cannot write .*{said}"):
        ensure_writable(store)


def test_a_bucket_that_is_missing_is_said_by_name() -> None:
    store = open_store("s3://nowhere/runs")
    for ask in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: store.keys("a")):
        with pytest.raises(StoreError, match="there is no bucket 'nowhere'. Make it, or correct the name."):
            ask()


def test_a_clock_that_is_wrong_is_told_from_wrong_credentials(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = botocore.auth.get_current_datetime
    late = datetime.timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) - late)
    with pytest.raises(StoreError, match="this machine's clock differs too much from its own. Set the clock."):
        store.put("a", b"")


def test_a_run_is_refused_in_a_sentence_where_its_root_cannot_be_used(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow.py").write_text(
        "import flyte_ray as flyte\nenv = flyte.TaskEnvironment('e')\n@env.task\ndef f() -> int:\n    return 1\n"
    )
    monkeypatch.chdir(tmp_path)
    missing = CliRunner().invoke(main, ["submit", "--local", "--root", "s3://nowhere/runs", "flow.py", "f"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused = CliRunner().invoke(main, ["submit", "--local", "--root", s3_root, "flow.py", "f"])
    for result, said in ((missing, "there is no bucket 'nowhere'"), (refused, "the store refuses the credentials")):
        assert result.exit_code == 1, result.output
        assert said in result.output and "Traceback" not in result.output


@env.task
def read(file: File) -> str:
    with file.open_sync("r") as opened:
        return str(opened.read())


def test_an_object_that_is_deleted_between_runs_is_said_by_name(root: str, store: Store) -> None:
    flyte.init(root=root)
    store.put("data.txt", b"one")
    file: File = File.from_existing_remote(f"{root}/data.txt")
    assert flyte.with_runcontext("local").run(read, file).outputs() == ("one",)
    store.delete(["data.txt"])
    with pytest.raises(ObjectMissing):
        store.get("data.txt")
    with pytest.raises(TypeError, match="parameter 'file': There is no file .*data.txt: it was never written, or"):
        flyte.with_runcontext("local").run(read, file)


@env.task
def refer(uri: str) -> File:
    return File.from_existing_remote(uri)


def test_a_task_that_returns_what_is_not_there_fails_with_its_name(root: str) -> None:
    flyte.init(root=root)
    with pytest.raises(RuntimeUserError, match="There is no file .*/none.txt"):
        flyte.with_runcontext("local").run(refer, f"{root}/none.txt").outputs()
