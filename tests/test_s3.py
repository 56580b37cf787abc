from __future__ import annotations

from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import ObjectMissing
from flyte_ray.storage import Store, open_store

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


def test_a_run_gives_the_same_result_and_record_on_disk_and_on_s3(root: str) -> None:
    flyte.init(root=root)
    run = flyte.run(total, 20)
    assert run.outputs() == (380,)
    assert flyte.Run.get(run.name).phase.value == "succeeded"
