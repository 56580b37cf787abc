"""Names of Flyte's that programs write without calling much: aliases of types, constants, temporary places."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest

import flyte_ray as flyte
from flyte_ray import testing

env = flyte.TaskEnvironment("names")


@env.task
def pickled(thing: flyte.types.FlytePickle) -> str:
    return type(thing).__name__


def test_aliases_of_types_may_stand_in_annotations() -> None:
    def declare(cache: flyte.CacheRequest, secrets: flyte.SecretRequest, device: flyte.DeviceClass) -> None:
        """Annotated as in a program of Flyte's."""

    assert {"auto", "disable"} <= set(get_args(get_args(flyte.CacheRequest)[0]))
    assert str in get_args(flyte.SecretRequest)
    assert "GPU" in get_args(flyte.DeviceClass)
    assert declare.__annotations__.keys() >= {"cache", "secrets", "device"}


def test_there_is_no_control_plane() -> None:
    assert not flyte.is_control_plane_available()


def test_a_table_is_parquet_unless_it_says_else() -> None:
    assert flyte.io.PARQUET == "parquet"


def test_temporary_places_are_new_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert flyte.storage.get_random_local_directory() != flyte.storage.get_random_local_directory()
    place = flyte.storage.get_random_local_path("s3://bucket/data.csv")
    assert (place.name, place.parent.is_dir(), place.exists()) == ("data.csv", True, False)


def test_a_value_may_be_pickled_by_name(tmp_path: Path) -> None:
    thing: Any = range(3)
    with testing.temporary_root(tmp_path):
        assert testing.run_local(pickled, thing).outputs() == ("range",)
