"""What a cluster that is busy, or gone, is said to be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from flyte_ray.cluster import client
from flyte_ray.cluster.client import LedgerClient
from flyte_ray.cluster.options import scarcity
from flyte_ray.errors import ClusterError
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_cpus": 1, "num_gpus": 1}, "needs 1 GPU, 0 of 2 free"),
        ({"num_cpus": 4, "memory": 3 * 1024**3}, "needs 4 CPU, 1 of 2 free; 3 GiB of memory, 2 of 2 free"),
        ({"num_cpus": 1}, "a process with 1 CPU starts"),
        ({"num_cpus": 0, "resources": {"disk_gib": 5}}, "needs 5 disk_gib, 0 of 0 free"),
    ],
)
def test_a_slot_that_cannot_start_names_what_is_scarce(options: dict[str, Any], said: str) -> None:
    free = {"CPU": 1.0, "memory": 2.0 * 1024**3}
    assert scarcity(options, free, {"CPU": 2.0, "GPU": 2.0, "memory": 2.0 * 1024**3}) == said


def test_a_slot_that_waits_for_a_kept_process_names_whose_that_is() -> None:
    assert scarcity({"num_cpus": 1}, {"CPU": 1.0}, {"CPU": 2.0}, "model") == "a process that 'model' keeps is free"
    assert scarcity({"num_cpus": 1}, {}, {"CPU": 2.0}, "model") == "needs 1 CPU, 0 of 2 free"


def test_a_cluster_that_is_gone_is_named_and_not_waited_for(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(ref: Any, timeout: float | None = None) -> Any:
        raise ray.exceptions.GetTimeoutError

    monkeypatch.setattr(ray, "get", never)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="127.0.0.1:1"))
    monkeypatch.setattr(client, "LOST_S", 0.0)
    actor = SimpleNamespace(wait=SimpleNamespace(remote=lambda run: run))
    ledger = LedgerClient(open_store(tmp_path), actor)
    assert ledger.wait(RunId("r"), timeout_s=0) is None
    with pytest.raises(ClusterError, match="The cluster at 127.0.0.1:1 should answer, but nothing listens there"):
        ledger.wait(RunId("r"))
