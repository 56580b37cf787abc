"""Files, storage and reports on a real Ray cluster, whose slots reach S3 as `init` was told."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.io import Dir, File
from flyte_ray.storage import S3, nearby, open_store
from flyte_ray.storage.providers import options_of
from tests import near_tables, workloads
from tests.s3_server import S3Server


@pytest.fixture
def given(connected: Path, s3_running: S3Server, ray_address: str, tmp_path: Path) -> Iterator[S3]:
    """Tell `init` how S3 is reached: the cluster may know nothing of it."""
    storage = S3(**s3_running.arguments)
    flyte.init(root=tmp_path / "root", address=ray_address, storage=storage)
    yield storage
    flyte.init(root=connected, address=ray_address)


def test_tasks_on_ray_read_write_and_report_with_the_storage_of_init(
    given: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    bucket = f"s3://tests/{uuid.uuid4().hex}"
    open_store(bucket, options_of(given, bucket)).put("in.txt", b"words")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("local")
    source: File = File.from_existing_remote(f"{bucket}/in.txt")
    run = flyte.run(workloads.files_here_and_there, source, Dir.from_local_sync(tmp_path / "in"), f"{bucket}/out.txt")
    published, written = run.outputs()[0]
    for file in (published, written):
        with file.open_sync("r") as opened:
            assert opened.read() == "WORDS LOCAL"
    assert published.path == f"{bucket}/out.txt" and written.hash == published.hash
    assert "<p>two files</p>" in run.get_report()
    record = [path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert record and not any(b"testsecret" in data for data in record)


def test_a_table_is_mapped_on_its_machine_and_read_from_the_store_where_it_is_lost(given: S3) -> None:
    rows = random.randrange(500_000, 600_000)
    runner = flyte.with_runcontext(raw_data_path=f"s3://tests/{uuid.uuid4().hex}")
    mapped, orphaned, fetched, made = runner.run(near_tables.passed_on, rows).outputs()[0]
    assert {found["sum"] for found in (mapped, orphaned, fetched)} == {rows * (rows - 1) // 2}
    assert mapped["process"] != made["process"]
    assert max(found["allocated"] for found in (mapped, orphaned)) < rows
    until = time.monotonic() + 60
    while list(nearby.nearby_folder().glob(f"*/{made['name']}")):
        assert time.monotonic() < until, "nothing is kept after the run"
        time.sleep(0.1)
