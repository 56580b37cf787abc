"""Find out whether a cluster grows by itself, and into what: what no node has today may still come.

Ray's autoscaler tells nobody which types of nodes it may add. Where it was started with the cluster's head, its command
line names its configuration; elsewhere (KubeRay runs it in a container of its own) only its reports are seen, and the
types stay unknown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flyte_ray.cluster.options import fits

UNKNOWN_NODES: Final = 8
"""Nodes that an autoscaler whose limits are unknown is thought to add at a time: they bound the slots asked for."""
PROCESSES: Final = Path("/proc")
_FLAG: Final = "--autoscaling-config="


@dataclass(frozen=True)
class NodeType:
    """A type of nodes that may be added."""

    name: str
    resources: Mapping[str, float]
    """As `ray.nodes()` names them."""
    most: int
    """How many of them there may be."""


@dataclass(frozen=True)
class Autoscaler:
    """What an autoscaler may add."""

    types: tuple[NodeType, ...] | None
    """None: it does not say."""
    most: int
    """How many nodes there may be, besides the head."""


def parse_autoscaler(config: Mapping[str, Any]) -> Autoscaler:
    """Read an autoscaler's configuration (`cluster.yaml`, as Ray has completed it)."""
    most = int(config.get("max_workers", 2))
    head = config.get("head_node_type")
    types = (
        NodeType(name, given.get("resources") or {}, int(given.get("max_workers", 0 if name == head else most)))
        for name, given in (config.get("available_node_types") or {}).items()
    )
    return Autoscaler(tuple(each for each in types if each.most > 0), most)


def hopeless(needs: Mapping[str, Any], nodes: Sequence[Mapping[str, float]], autoscaler: Autoscaler | None) -> str:
    """Say why no slot with these needs can ever start; empty if one can, now or on a node that may be added.

    Args:
        needs: Ray options, as `remote_options` gives them.
        nodes: Total resources of each node there is.
        autoscaler: None if the cluster does not grow.

    """
    lacking = min((fits(needs, node) for node in nodes), key=len, default=["the cluster has no nodes"])
    if not lacking:
        return ""
    if autoscaler is None:
        return f"No node of this cluster can ever run this: {'; '.join(lacking)}. Ask for less, or add a node."
    if autoscaler.types is None or fitting(needs, autoscaler):
        return ""
    largest = min(autoscaler.types, key=lambda each: len(fits(needs, each.resources)), default=None)
    if largest is None:
        return f"No node of this cluster can ever run this: {'; '.join(lacking)}. Its autoscaler may add none."
    sentences = "; ".join(fits(needs, largest.resources, f"type '{largest.name}'"))
    return (
        f"No node of this cluster can ever run this, and none that its autoscaler may add, of which '{largest.name}' is"
        f" the largest type: {sentences}. Ask for less, or give the autoscaler a larger type."
    )


def fitting(needs: Mapping[str, Any], autoscaler: Autoscaler) -> list[NodeType]:
    """List the known types of nodes that a slot fits on."""
    return [each for each in autoscaler.types or () if not fits(needs, each.resources)]


def slots_on(node: Mapping[str, float], needs: Mapping[str, Any]) -> int:
    """Count the slots that a node can hold."""
    if fits(needs, node):
        return 0
    amounts = {"CPU": needs.get("num_cpus", 1), "GPU": needs.get("num_gpus", 0), "memory": needs.get("memory", 0)}
    amounts.update(needs.get("resources", {}))
    # A slot that asks for nothing is bounded all the same: each one is a process.
    return int(min((node[name] / amount for name, amount in amounts.items() if amount), default=node.get("CPU", 1)))


def slots_to_come(needs: Mapping[str, Any], nodes: int, autoscaler: Autoscaler | None) -> int:
    """Count the slots for which nodes may be added: asked for, they are the demand that the autoscaler sees.

    Args:
        needs: Ray options.
        nodes: How many nodes there are, with the head.
        autoscaler: None if the cluster does not grow.

    """
    if autoscaler is None:
        return 0
    room = max(autoscaler.most - (nodes - 1), 0)
    if autoscaler.types is None:
        return room
    return max((slots_on(each.resources, needs) * min(each.most, room) for each in autoscaler.types), default=0)


def find_autoscaler() -> Autoscaler | None:
    """Return the autoscaler of the connected cluster; call on its head node, where Linux shows it.

    Source: Ray 2.60, `ray._private.services.start_monitor`, `ray.autoscaler.v2`. Without a configuration Ray starts the
    same process, which then only reports.
    """
    command = _monitor(_logs())
    if command is not None:
        files = [word.removeprefix(_FLAG) for word in command if word.startswith(_FLAG)]
        return _read(Path(files[0]).expanduser()) if files else None
    return Autoscaler(None, UNKNOWN_NODES) if PROCESSES.is_dir() and _is_head() and _reports() else None


def _read(file: Path) -> Autoscaler | None:
    import yaml  # only here; it comes with Ray

    try:
        config = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError):
        return Autoscaler(None, UNKNOWN_NODES)
    return parse_autoscaler(config)


def _logs() -> str:
    from ray._private import worker

    return str(worker._global_node.get_logs_dir_path())


def _monitor(logs: str) -> list[str] | None:
    """The command line of the autoscaler's process of this session on this machine."""
    for file in PROCESSES.glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has just ended, or is somebody else's
        if f"--logs-dir={logs}" in words and any(
            word.endswith(f"{os.sep}monitor.py") and "autoscaler" in word for word in words
        ):
            return words
    return None


def _is_head() -> bool:
    import ray

    own = ray.get_runtime_context().get_node_id()
    return any(node["NodeID"] == own and "node:__internal_head__" in node["Resources"] for node in ray.nodes())


def _reports() -> bool:
    """Whether an autoscaler somewhere else tells this cluster what it does."""
    import ray
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # Ray's stubs lack it
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply
    from ray.experimental.internal_kv import _internal_kv_get

    if _internal_kv_get(DEBUG_AUTOSCALING_STATUS):
        return True
    reply = GetClusterStatusReply()
    reply.ParseFromString(GcsClient(ray.get_runtime_context().gcs_address).get_cluster_status(timeout_s=5))
    return bool(reply.autoscaling_state.autoscaler_state_version)
