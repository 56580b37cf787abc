"""A driver on another node than the ledger's is told at once that its root is not shared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from flyte_ray.cluster import client as client_module
from flyte_ray.cluster import shared_root
from flyte_ray.cluster.client import LedgerClient
from flyte_ray.errors import ClusterError, StoreError
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.paths import spec_key
from flyte_ray.ledger.requests import Start
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

START = Start(RunId("r"), "nonce", TaskRef("e.t", "m", "t", None, "s", "{}", 0, None, False), "{}")


class Client(LedgerClient):
    """Of a ledger on node `head` that writes its starts below `root`."""

    def __init__(self, own: Path, root: Path) -> None:
        super().__init__(open_store(own), None)
        self.root, self.asked = root, list[Any]()

    def _ask(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        self.asked.append((method, *args))
        if method == "start":
            open_store(self.root).put(spec_key(START.run), b"{}")
        return ("head", "10.0.0.1")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    here = SimpleNamespace(get_node_id=lambda: "other", gcs_address="10.0.0.1:6379")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: here)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.2")
    monkeypatch.setattr(shared_root, "PATIENCE_S", 0.0)


def test_a_folder_that_both_nodes_see_is_accepted(tmp_path: Path) -> None:
    client = Client(tmp_path, tmp_path)
    client.start(START)
    assert [asked[0] for asked in client.asked] == ["start", "place"]


def test_a_folder_of_the_drivers_own_is_refused_and_the_run_aborted(tmp_path: Path) -> None:
    client = Client(tmp_path / "own", tmp_path / "head")
    with pytest.raises(StoreError, match="on node 10.0.0.2 lacks run 'r', which node 10.0.0.1"):
        client.start(START)
    assert client.asked[-1][:3] == ("abort", "r", "a0")


def test_through_ray_client_a_folder_is_looked_at_though_the_node_is_the_ledgers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = SimpleNamespace(get_node_id=lambda: "head", gcs_address="10.0.0.1:6379")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: here)
    Client(tmp_path / "own", tmp_path / "head").start(START)  # on the head itself there is nothing to find out
    monkeypatch.setattr(client_module, "is_through_client", lambda: True)
    with pytest.raises(StoreError, match="must be one folder for all nodes"):
        Client(tmp_path / "own", tmp_path / "head").start(START)


def test_a_lost_connection_of_ray_client_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("Client is shutting down")

    monkeypatch.setattr(ray, "get", lost)
    actor = SimpleNamespace(wait=SimpleNamespace(remote=lambda run: run))
    with pytest.raises(ClusterError, match=r"is not any more: Client is shutting down\. Call ray\.shutdown\(\) and"):
        LedgerClient(open_store(tmp_path), actor).wait(START.run)
