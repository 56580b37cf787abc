"""Whatever names and archives people and programs give: nothing is written or read outside of its place."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_ray.cluster.bundle import MAX_BUNDLE_BYTES, extract_bundle
from flyte_ray.errors import BaseRuntimeError, CodeBundleError, DeclarationError, StoreError
from flyte_ray.ledger import paths
from flyte_ray.runtime.blobs import blobs_at
from flyte_ray.spec.ids import RunId, validate_run_name
from flyte_ray.storage import open_store
from flyte_ray.types.signing import Pickling

hostile = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(["..", ".", "", "a", "/", "\\", "etc", "%2e%2e", "~", "\0", "C:"]), max_size=8).map(
        "/".join
    ),
)
NAMED: list[Callable[[str], str]] = [
    lambda name: paths.spec_key(RunId(name)),
    lambda name: paths.segment_key(RunId(name), 0),
    lambda name: paths.lease_key(RunId(name)),
    lambda name: paths.signal_key(RunId("run"), name, 0),
    lambda name: paths.app_key(name, 1),
    lambda name: paths.task_key(name, 1),
    lambda name: paths.trigger_key(name, name, 1),
    lambda name: paths.app_data_key("digest", name),
    paths.code_key,
    paths.cache_key,
    paths.token_key,
    paths.secret_key,
    lambda name: name,
]


def entries(folder: str) -> set[str]:
    return {entry.path for entry in os.scandir(folder)}


@given(name=hostile)
def test_no_name_leads_out_of_the_root(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "beside").write_text("secret")
        store = open_store(os.path.join(folder, "a", "root"))
        for key in (make(name) for make in NAMED):
            for act in (
                lambda key=key: store.put(key, b"x"),
                lambda key=key: store.put_if_absent(key, b"x"),
                lambda key=key: store.get(key),
                lambda key=key: store.keys(key),
                lambda key=key: store.delete([key]),
            ):
                try:
                    found = act()
                except (StoreError, FileNotFoundError, ValueError):
                    continue
                assert found != b"secret"
        assert entries(folder) <= {os.path.join(folder, "beside"), os.path.join(folder, "a")}
        assert (
            entries(os.path.join(folder, "a")) <= {os.path.join(folder, "a", "root")}
            if os.path.isdir(os.path.join(folder, "a"))
            else True
        )
        assert Path(folder, "beside").read_text() == "secret"


@given(uri=hostile)
def test_no_reference_of_a_record_leads_out_of_the_root(uri: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "beside").write_text("secret")
        blobs = blobs_at(open_store(os.path.join(folder, "root")), "runs/r/data", Pickling())
        for read in (blobs.get, blobs.local_path, blobs.contents):
            try:
                found = read(uri)
            except (BaseRuntimeError, FileNotFoundError, ValueError, OSError):
                continue
            assert found != b"secret" and not (isinstance(found, str) and ".." in found.split("/"))


@given(name=hostile)
def test_a_runs_name_is_one_part_of_a_path(name: str) -> None:
    try:
        validate_run_name(name)
    except DeclarationError:
        return
    assert "/" not in name and "." not in name and name == name.strip()


@given(name=hostile, is_link=st.booleans())
def test_no_entry_of_a_bundle_leaves_its_folder(name: str, is_link: bool) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo(name or "x")
        entry.external_attr = ((stat.S_IFLNK if is_link else stat.S_IFREG) | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder, "into")
        with pytest.raises(CodeBundleError):  # no hostile zip has the digest of its name, too
            extract_bundle(data.getvalue(), "ab" * 32, into)
        assert entries(folder) <= {str(into)} and not (into.exists() and entries(str(into)))


def test_a_bundle_that_would_fill_the_disk_is_not_unpacked(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.py", b"\0" * (MAX_BUNDLE_BYTES // 2))
    assert len(data.getvalue()) < 1 << 20
    with pytest.raises(CodeBundleError, match="may unpack to"):
        extract_bundle(data.getvalue(), "ab" * 32, tmp_path / "into")
