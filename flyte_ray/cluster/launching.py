"""Give the ledger's core its launcher: an actor of Ray's that owns the slots' tasks, and what the cluster can hold."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import ray

from flyte_ray.cluster.autoscaling import Autoscaler, find_autoscaler, fitting, hopeless, slots_on, slots_to_come
from flyte_ray.cluster.launcher import SlotOrder
from flyte_ray.cluster.names import NAMESPACE
from flyte_ray.cluster.options import fits, scarcity
from flyte_ray.ledger.amounts import amounts
from flyte_ray.spec.ids import RunId

GROWTH_S: Final = 30.0
"""Age at which it is asked again what the cluster's autoscaler may add."""


class RayLauncher:
    """The core's way to the launcher actor and to what the cluster has."""

    def __init__(self, launcher: str) -> None:
        """Use the launcher of this name."""
        self.actor = ray.get_actor(launcher, NAMESPACE)
        self.nodes: list[dict[str, float]] = []
        self._free: dict[str, float] = {}
        self.autoscaler: Autoscaler | None = None
        self._looked = -GROWTH_S
        self.refresh()

    def refresh(self) -> None:
        """Ask what nodes there are, and now and then what may add more."""
        self.nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if time.monotonic() - self._looked > GROWTH_S:
            self._looked = time.monotonic()
            self.autoscaler = find_autoscaler()

    def launch(self, slot: str, run: RunId, shape: str, options: str) -> None:
        """Start a slot."""
        self.actor.launch.remote([SlotOrder(slot, run, shape, options)])

    def kill(self, slot: str) -> None:
        """End a slot."""
        self.actor.kill.remote([slot])

    def capacity(self, options: str) -> int:
        """Count the slots that all nodes can hold together, those too that the autoscaler may add."""
        needs = json.loads(options)
        here = sum(slots_on(node, needs) for node in self.nodes)
        return here + slots_to_come(needs, len(self.nodes), self.autoscaler)

    def may_grow(self, options: str) -> bool:
        """Whether the autoscaler may add a node for a slot."""
        return slots_to_come(json.loads(options), len(self.nodes), self.autoscaler) > 0

    def look_for_room(self) -> None:
        """Ask what is free, for `scarce`; where nobody waits that need not be known."""
        self._free = ray.available_resources()

    def scarce(self, options: str) -> frozenset[str]:
        """Name the resources of which less is free than a slot needs."""
        return frozenset(
            name for name, amount in amounts(json.loads(options)).items() if self._free.get(name, 0.0) < amount
        )

    def wanted(self, options: str) -> str:
        """Say for what a slot waits; see `scarcity`."""
        needs = json.loads(options)
        return scarcity(needs, ray.available_resources(), ray.cluster_resources()) + self._to_come(needs)

    def _to_come(self, needs: dict[str, Any]) -> str:
        """Say that no node has what a slot needs, and which one the autoscaler may add."""
        if self.autoscaler is None or any(not fits(needs, node) for node in self.nodes):
            return ""
        names = " or ".join(f"'{each.name}'" for each in fitting(needs, self.autoscaler))
        return f", which no node has: the autoscaler may add one{f' of type {names}' if names else ''}"

    def hopeless(self, options: str) -> str:
        """Say why no slot can ever start; empty if one can."""
        return hopeless(json.loads(options), self.nodes, self.autoscaler)
