"""How stores are reached: what is given, what the environment says, and what clients are told."""

from __future__ import annotations

import datetime
import inspect
from typing import Any

import pytest
import s3fs

import flyte_ray as flyte
from flyte_ray.api.settings import current_store
from flyte_ray.errors import InvalidDeclaration
from flyte_ray.storage import ABFS, GCS, S3, Storage, get_configured_fsspec_kwargs, get_underlying_filesystem, join
from flyte_ray.storage.copying import is_remote
from flyte_ray.storage.filesystems import filesystem
from flyte_ray.storage.providers import options_of, protocol_of

GIVEN = S3(
    endpoint="http://s3:9000",
    access_key_id="id",
    secret_access_key="SECRET",
    region="eu-1",
    addressing_style="path",
    retries=7,
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "S3_ADDRESSING_STYLE"):
        monkeypatch.delenv(f"FLYTE_AWS_{name}", raising=False)


def test_s3_is_given_in_the_clients_terms() -> None:
    found = GIVEN.get_fsspec_kwargs()
    assert found == {
        "endpoint_url": "http://s3:9000",
        "key": "id",
        "secret": "SECRET",
        "config_kwargs": {
            "retries": {"mode": "standard", "total_max_attempts": 8},
            "region_name": "eu-1",
            "s3": {"addressing_style": "path"},
        },
    }
    assert found.keys() <= inspect.signature(s3fs.S3FileSystem.__init__).parameters.keys()
    assert GIVEN.get_fsspec_kwargs(anonymous=True)["anon"] is True and "SECRET" not in repr(GIVEN)
    assert S3.for_sandbox().endpoint == "http://localhost:4566"


def test_azure_and_google_are_given_in_their_clients_terms() -> None:
    assert ABFS(account_name="a", account_key="KEY").get_fsspec_kwargs() == {"account_name": "a", "account_key": "KEY"}
    assert "KEY" not in repr(ABFS(account_name="a", account_key="KEY"))
    assert GCS().get_fsspec_kwargs(anonymous=True) == {"token": "anon"}


def test_what_is_not_given_comes_from_flytes_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_AWS_ENDPOINT", "http://there")
    monkeypatch.setenv("FLYTE_STORAGE_RETRIES", "9")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acc")
    assert S3.auto(region="r") == S3(endpoint="http://there", region="r", retries=9)
    assert Storage.auto().retries == 9 and ABFS.auto().account_name == "acc"
    assert options_of(None, "/tmp")["s3"]["endpoint_url"] == "http://there"
    assert options_of(Storage(retries=1), "/tmp")["s3"]["config_kwargs"]["retries"]["total_max_attempts"] == 2
    monkeypatch.setenv("FLYTE_STORAGE_RETRIES", "many")
    with pytest.raises(InvalidDeclaration, match="FLYTE_STORAGE_RETRIES must be a number from 0, got 'many'"):
        S3.auto()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"access_key_id": "id"}, "S3 needs access_key_id and secret_access_key, got access_key_id alone. Give both."),
        ({"addressing_style": "x"}, "addressing_style must be 'path', 'virtual' or 'auto', got 'x'"),
        ({"retries": -1}, "retries must be a number from 0, got -1"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDeclaration, match=said):
        S3(**given)


def test_what_has_no_effect_is_said(caplog: pytest.LogCaptureFixture) -> None:
    S3(backoff=datetime.timedelta(seconds=1))
    assert "S3: 'backoff' has no effect here. Leave it out." in caplog.text


def test_init_takes_a_kind_of_store_or_arguments_for_the_root(tmp_path: Any) -> None:
    flyte.init(root=tmp_path, storage=GIVEN)
    assert current_store().options["s3"]["key"] == "id"
    assert get_configured_fsspec_kwargs("s3")["secret"] == "SECRET"
    assert "secret" not in get_configured_fsspec_kwargs("s3", anonymous=True)
    flyte.init(root="s3://bucket/runs", storage={"endpoint_url": "http://x"})
    assert current_store().options == {"s3": {"endpoint_url": "http://x"}}
    flyte.init(root="memory://here", storage={"a": 1})
    assert current_store().options == {"memory": {"a": 1}}
    with pytest.raises(TypeError, match="storage must be a flyte.storage.S3, GCS or ABFS, or a dict .*, got int"):
        flyte.init(storage=3)  # type: ignore[arg-type]
    flyte.init(root=tmp_path)


def test_a_process_has_one_file_system_for_the_same_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    one = filesystem("s3", {"key": "a", "secret": "b"})
    assert filesystem("s3", {"secret": "b", "key": "a"}) is one
    assert filesystem("s3", {"key": "c", "secret": "b"}) is not one
    assert one.dircache.use_listings_cache is False and one.config_kwargs["max_pool_connections"] == 64
    other = filesystem("s3", {"config_kwargs": {"read_timeout": 2}})
    assert other.config_kwargs["read_timeout"] == 2 and other.config_kwargs["retries"]["mode"] == "standard"
    monkeypatch.setenv("AWS_PROFILE", "another")
    assert filesystem("s3", {"key": "a", "secret": "b"}) is not one


def test_kinds_of_stores_have_one_name_each() -> None:
    urls = {"s3a://b/k": "s3", "gcs://b/k": "gs", "abfss://c/k": "abfs", "/tmp/x": "file", "file:///tmp": "file"}
    assert {url: protocol_of(url) for url in urls} == urls
    assert is_remote("s3://b/k") and not is_remote("file:///tmp/x") and not is_remote("x")
    assert join("s3://b", "k", "l") == "s3://b/k/l"


def test_a_kind_of_store_that_nobody_knows_or_has_is_said() -> None:
    with pytest.raises(InvalidDeclaration, match="a URL of a kind that fsspec knows was expected, got 'nope://"):
        get_underlying_filesystem(path="nope://x")
    with pytest.raises(InvalidDeclaration, match="gs:// needs a package that is not installed. Run 'pip install gcsfs"):
        get_underlying_filesystem("gs")
    with pytest.raises(InvalidDeclaration, match="needs a protocol or a path, got neither"):
        get_underlying_filesystem()
