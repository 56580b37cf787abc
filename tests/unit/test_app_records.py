"""Apps on record: one object per revision, the last one counts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.apps import (
    AppRecord,
    add_revision,
    delete_app,
    find_address,
    find_cluster,
    find_unguarded,
    list_apps,
    load_app,
    put_address,
)
from flyte_ray.storage import open_store

SHOP = AppRecord("shop", 0, "v1", "active", 5, "me", "/apps/shop", "asgi", {"num_cpus": 1}, "d:", {"module": "m"}, {})


def test_the_last_revision_of_an_app_counts(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = add_revision(store, SHOP)
    second = add_revision(store, dataclasses.replace(first, state="deactivated"))
    add_revision(store, dataclasses.replace(SHOP, name="shop-2"))
    assert (first.revision, second.revision) == (1, 2)
    assert load_app(store, "shop") == second
    assert [record.name for record in list_apps(store)] == ["shop", "shop-2"]


def test_of_two_that_deploy_at_the_same_time_one_is_the_later(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    before = add_revision(store, SHOP)
    assert [add_revision(store, dataclasses.replace(before, version=name)).revision for name in "ab"] == [2, 3]


def test_a_deleted_app_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    add_revision(store, SHOP)
    put_address(store, "shop", "http://127.0.0.1:8000/apps/shop", "127.0.0.1:6379")
    assert find_cluster(store, "shop") == "127.0.0.1:6379"
    assert find_address(store, "shop") == "http://127.0.0.1:8000/apps/shop"
    assert find_unguarded(store, "shop") == []
    put_address(store, "shop", "http://10.0.0.1:8000/apps/shop", "127.0.0.1:6379", ["/x"])
    assert find_unguarded(store, "shop") == ["/x"]
    delete_app(store, "shop")
    assert find_address(store, "shop") == ""
    with pytest.raises(ObjectMissing, match="should hold an app 'shop', but does not. 'flyte-ray get app' lists"):
        load_app(store, "shop")
    assert list_apps(store) == []
