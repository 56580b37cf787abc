"""Tables of a root that is elsewhere are mapped on the machine where they were made."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.runtime import blobs
from flyte_ray.storage import nearby
from flyte_ray.storage.files import fetch_all
from flyte_ray.storage.providers import Options
from flyte_ray.storage.remote import RemoteStore
from tests import near_tables

ROWS = 100_000


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The tables that were read from the store."""
    found: list[str] = []
    get = RemoteStore.get

    def noted(self: RemoteStore, key: str) -> bytes:
        found.extend([key] if key.endswith(".arrow") and "/data/" in key else [])
        return get(self, key)

    def fetched(files: Mapping[str, str], options: Options) -> tuple[str, ...]:
        found.extend(files)
        return fetch_all(files, options)

    monkeypatch.setattr(RemoteStore, "get", noted)
    monkeypatch.setattr(blobs, "fetch_all", fetched)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    flyte.init(root=f"memory://{uuid.uuid4().hex}")
    yield found
    flyte.init()


def test_a_table_is_read_from_the_store_only_where_this_machine_has_no_copy(reads: list[str]) -> None:
    assert max(flyte.run(near_tables.passed_on_here, ROWS).outputs()[0]) < ROWS, "bytes of a table of eight times ROWS"
    assert len(reads) == 1
    assert not list(nearby.nearby_folder().iterdir()), "nothing is kept after the run"


def test_a_machine_without_room_for_copies_reads_from_the_store(
    reads: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / nearby.nearby_folder().name).touch()
    assert len(flyte.run(near_tables.passed_on_here, ROWS).outputs()[0]) == 3
    assert len(reads) == 4
    assert "no copies of what is stored can be kept on this machine" in caplog.text
