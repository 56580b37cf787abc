"""Which ports of a cluster are open to others."""

from __future__ import annotations

from unittest import mock

import pytest

from flyte_ray.cli.doctor import _exposure
from flyte_ray.cluster import exposure
from flyte_ray.cluster.exposure import Exposure, find_exposure


def found(address: str, open_at: set[str], dashboard: str = "0.0.0.0:8265", *, asks: bool = False) -> Exposure | None:
    with (
        mock.patch.object(exposure, "_dashboard_of", lambda _: (dashboard, asks)),
        mock.patch.object(exposure, "own_address", lambda: "10.0.0.7"),
    ):
        return find_exposure(address, lambda at: at in open_at)


def test_a_port_that_other_machines_reach_is_named() -> None:
    assert found("127.0.0.1:6379", {"127.0.0.1:8265", "127.0.0.1:6379"}) == Exposure(False, ())
    open_at = {"10.0.0.7:8265", "10.0.0.7:10001"}
    said = "the client port at 10.0.0.7:10001", "the dashboard at 10.0.0.7:8265"
    assert found("127.0.0.1:6379", open_at) == Exposure(False, said)
    assert found("head:6379", {"head:6379"}) == Exposure(False, ("the cluster's own port at head:6379",))


def test_a_cluster_that_asks_for_a_token_is_no_concern() -> None:
    assert found("head:6379", {"head:6379", "head:8265"}, asks=True) == Exposure(True, ())
    assert found("ray://head:10001", {"head:10001"}) is None


@pytest.mark.parametrize(
    ("known", "state", "said"),
    [
        (Exposure(True, ()), "ok", "asks for a token"),
        (Exposure(False, ()), "ok", "no port"),
        (Exposure(False, ("the dashboard at 10.0.0.7:8265",)), "note", "the dashboard at 10.0.0.7:8265 executes code"),
    ],
)
def test_the_doctor_warns_of_open_ports(known: Exposure, state: str, said: str) -> None:
    (finding,) = _exposure(known)
    assert finding.state == state and said in finding.found
    assert list(_exposure(None)) == []
