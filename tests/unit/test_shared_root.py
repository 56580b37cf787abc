"""A root on a disk is refused on a node that does not share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_ray.cluster.shared_root import PATIENCE_S, check_root, refuse_memory
from flyte_ray.errors import InvalidDeclaration, StoreError
from flyte_ray.ledger.paths import spec_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store

RUN = RunId("r1")


@pytest.fixture
def written(tmp_path: Path) -> Store:
    """The root as the ledger's node sees it."""
    store = open_store(tmp_path / "head")
    store.put(spec_key(RUN), b"{}")
    return store


def test_the_same_folder_is_accepted(written: Store) -> None:
    check_root(written, RUN, "10.0.0.2", "10.0.0.1")


def test_a_folder_of_the_nodes_own_is_refused_by_the_names_of_both(written: Store, tmp_path: Path) -> None:
    slept: list[float] = []
    with pytest.raises(StoreError, match=r"other on node 10.0.0.2 lacks run 'r1', which node 10.0.0.1"):
        check_root(open_store(tmp_path / "other"), RUN, "10.0.0.2", "10.0.0.1", sleep=slept.append)
    assert sum(slept) == PATIENCE_S


def test_a_shared_disk_that_shows_the_file_late_is_accepted(tmp_path: Path) -> None:
    late = open_store(tmp_path / "late")
    check_root(late, RUN, "10.0.0.2", "10.0.0.1", sleep=lambda _: late.put(spec_key(RUN), b"{}"))


def test_a_folder_that_no_node_sees_at_the_moment_is_waited_for(tmp_path: Path) -> None:
    away, asked = open_store(tmp_path / "away"), list[int]()

    def sees() -> bool:
        asked.append(1)
        if len(asked) == 3:
            away.put(spec_key(RUN), b"{}")
        return False

    check_root(away, RUN, "10.0.0.2", "10.0.0.1", sees=sees, sleep=lambda _: None)
    assert len(asked) == 3


def test_a_store_that_all_nodes_reach_is_not_asked() -> None:
    class Reachable:
        uri = "s3://bucket/root"

    check_root(Reachable(), RUN, "10.0.0.2", "10.0.0.1")  # type: ignore[arg-type]


def test_a_root_in_the_memory_of_one_process_is_refused() -> None:
    refuse_memory(open_store("s3://bucket/root"))
    with pytest.raises(InvalidDeclaration, match="processes see was expected, got memory://runs, which lies in the"):
        refuse_memory(open_store("memory://runs"))
