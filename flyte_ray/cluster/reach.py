"""Ask, within seconds, what answers at a Ray address: Ray itself tries for a minute and then does not say why.

Invariants: every question has a time limit; a token is sent only to a cluster that asks for one.
"""

from __future__ import annotations

import json
import os
import platform
import socket
from typing import Any, Final, NamedTuple

from flyte_ray.errors import ClusterError

LISTEN_S: Final = 3.0
"""How long to wait until the port accepts a connection."""
ANSWER_S: Final = 3.0
"""How long to wait for the answer to one question; at most two are asked."""
AUTH_MODE: Final = "RAY_AUTH_MODE"


class Versions(NamedTuple):
    """What runs somewhere."""

    ray: str
    python: str


def require_cluster(address: str) -> None:
    """Return if a cluster that this process can work with answers at an address, within 10 s in every case.

    Where the cluster asks for a token, this process has one and the user has not set `RAY_AUTH_MODE`, token mode is
    switched on for this process and its children.

    Args:
        address: `host:port` of the cluster's head; other forms (`auto`, `local`, `ray://…`) are left to Ray.

    Raises:
        ClusterError: Nobody listens there, what listens is no Ray, the token is refused, or Ray's or Python's version
            differs.

    Source: Ray 2.60, token authentication; `ray.init` never switches it on by itself for an explicit address.

    """
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdigit():
        return
    require_listener(address, host.strip("[]"), int(port))
    known = _ask(address)
    if known is None and AUTH_MODE not in os.environ and has_token():
        use_token()
        known = _ask(address)
    if known is None:
        raise ClusterError(token_refusal(address))
    sentence = differs(known, own_versions())
    if sentence:
        raise ClusterError(f"{sentence} Use the cluster's versions here, or another cluster than {address}.")


def is_dashboard(address: str | None) -> bool:
    """Whether an address is that of a dashboard, and not of a head's own port."""
    return address is not None and address.startswith(("http://", "https://"))


def own_versions() -> Versions:
    """Return what this process runs."""
    import ray  # half a second; only what runs on Ray pays it

    return Versions(ray.__version__, platform.python_version())


def differs(cluster: Versions, own: Versions) -> str:
    """Say in a sentence how two sides differ; empty if they can work together.

    Ray's versions must be equal. Python's must agree in the first two numbers, by which functions and values travel;
    `RAY_IGNORE_VERSION_MISMATCH` and the third number are Ray's affair.
    """
    if cluster.ray == own.ray and cluster.python.split(".")[:2] == own.python.split(".")[:2]:
        return ""
    return (
        f"The cluster and this process should run the same Ray and Python, but the cluster runs Ray {cluster.ray} on"
        f" Python {cluster.python}, this process Ray {own.ray} on Python {own.python}."
    )


def has_token() -> bool:
    """Whether this process has a token, wherever Ray looks for one."""
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # Ray's stubs lack it

    return bool(AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


def listens(address: str) -> bool:
    """Whether something accepts connections at `host:port`; answers within seconds."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTEN_S).close()
    except OSError:
        return False
    return True


def require_listener(address: str, host: str, port: int, what: str = "A Ray cluster") -> None:
    """Return if something accepts connections there.

    Raises:
        ClusterError: Nothing does, within seconds; `what` should.

    """
    try:
        socket.create_connection((host, port), LISTEN_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"{what} should listen at {address}, but: {error}. Check the address (`ray start --head` prints"
            f" it) and that its port can be reached from here."
        ) from None  # the sentence has all that it says


def _ask(address: str) -> Versions | None:
    """Ask which versions the cluster runs; None if it refuses us for want of the right token."""
    import grpc  # type: ignore[import-untyped]  # comes with Ray and is as slow to import
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    question = gcs_service_pb2.InternalKVGetRequest(key=b"CLUSTER_METADATA", namespace=b"cluster")
    channel: Any = init_grpc_channel(address, [("grpc.enable_http_proxy", 0)])
    try:
        answer = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVGet(question, timeout=ANSWER_S)
        found = json.loads(answer.value)
        return Versions(found["ray_version"], found["python_version"])
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return None
        raise ClusterError(
            f"A Ray cluster should answer at {address}, but what listens there says {error.code().name}. Give the"
            f" address of the head's own port (6379 unless it was chosen), not of its dashboard."
        ) from None
    except (ValueError, KeyError) as error:
        raise ClusterError(
            f"A Ray cluster should name its versions at {address}, but: {error!r}. Check that its head has started."
        ) from error
    finally:
        channel.close()


def use_token() -> None:
    """Have this process and its children send the token that it has."""
    from ray._raylet import Config  # type: ignore[attr-defined]  # Ray's stubs lack it

    os.environ[AUTH_MODE] = "token"
    Config.initialize("")  # Ray read the mode when it was imported


def token_refusal(address: str) -> str:
    """Say why the cluster at an address refuses this process, and what to do."""
    if has_token() and os.environ.get(AUTH_MODE) == "token":
        return (
            f"The cluster at {address} should accept this process's token, but refused it. Give the cluster's token"
            f" in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."
        )
    mode = f" ({AUTH_MODE} is {os.environ[AUTH_MODE]!r} here)" if AUTH_MODE in os.environ else ""
    return (
        f"The cluster at {address} asks for a token, and this process sent none{mode}. Set {AUTH_MODE}=token and give"
        f" the token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."
    )
