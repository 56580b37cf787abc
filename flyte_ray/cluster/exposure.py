"""Find which ports of a cluster others than this machine reach without a token: each of them executes code for them.

Invariants: every question has a time limit; nothing is sent to what is looked at, but for one question to its GCS.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from flyte_ray.cluster.reach import ANSWER_S, listens

CLIENT_PORT: Final = 10001
"""Where Ray's client server listens, unless it was told otherwise."""
_LOOPBACK: Final = ("127.", "localhost", "::1", "[::1]")


class Exposure(NamedTuple):
    """What is known of a cluster's ports."""

    asks_for_token: bool
    open: tuple[str, ...]
    """`the dashboard at 10.0.0.1:8265` and the like, where no token is asked for."""


def find_exposure(address: str, listening: Callable[[str], bool] = listens) -> Exposure | None:
    """Look what of a cluster is open; None where an address is in a form that only Ray reads.

    Args:
        address: `host:port` of the cluster's head.
        listening: Whether something accepts connections at such an address.

    """
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdigit():
        return None
    dashboard, asks = _dashboard_of(address)
    if asks:
        return Exposure(True, ())
    outside = own_address() if is_local(host) else host
    ports = {"the cluster's own port": port, "the client port": str(CLIENT_PORT)}
    if dashboard:
        ports["the dashboard"] = dashboard.rpartition(":")[2]
    where = {what: f"{outside}:{number}" for what, number in ports.items()} if outside else {}
    return Exposure(False, tuple(f"{what} at {at}" for what, at in where.items() if listening(at)))


def is_local(host: str) -> bool:
    """Whether a host is this machine and nobody else reaches it there."""
    return host.startswith(_LOOPBACK)


def own_address() -> str:
    """Return the address that others reach this machine at; empty if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of documentation: nothing is sent, the system chooses the way there
            found = str(probe.getsockname()[0])
        except OSError:
            return ""
    return "" if is_local(found) else found


def _dashboard_of(address: str) -> tuple[str, bool]:
    """Ask the GCS, without a token, where the dashboard listens; and say whether it wants a token for that."""
    import grpc  # type: ignore[import-untyped]  # comes with Ray and is as slow to import
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    question = gcs_service_pb2.InternalKVGetRequest(key=b"dashboard", namespace=b"dashboard")
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel)
        try:
            return stub.InternalKVGet(question, timeout=ANSWER_S).value.decode(), False
        except grpc.RpcError as error:
            return "", error.code() is grpc.StatusCode.UNAUTHENTICATED
