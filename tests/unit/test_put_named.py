"""An object may get its name while it is on its way to the disk."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import IO

import pyarrow as pa
import pytest

from flyte_ray.errors import StoreError
from flyte_ray.runtime.blobs import blobs_at
from flyte_ray.storage import Store, open_store, witnessed
from flyte_ray.types import tables
from flyte_ray.types.annotations import build_form
from flyte_ray.types.signing import Pickling


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "root") if request.param == "disk" else f"memory://{uuid.uuid4().hex}")


def put(data: bytes, file: IO[bytes]) -> None:
    file.write(data)


def test_what_is_named_late_is_an_object_like_any_other(store: Store) -> None:
    for text in ("one", "one", "other"):
        name = store.put_named("data", partial(put, text.encode()), partial(str, text))
        assert store.get(f"data/{name}") == name.encode() == text.encode()
    assert [key.lstrip("/") for key in store.keys("data")] == ["data/one", "data/other"]


def test_what_gets_no_name_leaves_nothing(store: Store, tmp_path: Path) -> None:
    def fail() -> str:
        raise ValueError("no name")

    with pytest.raises(ValueError, match="no name"):
        store.put_named("data", lambda file: file.write(b"x"), fail)
    assert store.keys("data") == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_is_not_the_root_any_more_is_not_written_to(tmp_path: Path) -> None:
    store = witnessed(open_store(tmp_path), "spec.json")
    with pytest.raises(StoreError, match="should hold spec.json"):
        store.put_named("data", lambda file: file.write(b"x"), lambda: "x")
    assert not list(tmp_path.iterdir())


def test_a_large_table_is_stored_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form, blobs = build_form(pa.Table), blobs_at(open_store(tmp_path), "data", Pickling())
    first = form.dump(pa.table({"a": range(1000)}), blobs)
    monkeypatch.setattr(tables, "LARGE", 10)
    again = form.dump(pa.table({"a": range(1000)}), blobs)
    assert first == again
    assert len(list((tmp_path / "data").iterdir())) == 1
    assert form.load(again, blobs) == pa.table({"a": range(1000)})
