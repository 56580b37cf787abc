"""Give the ledger's core its launcher: an actor of Ray's that owns the slots' tasks, and what the cluster can hold."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from flyte_ray.cluster.autoscaling import Autoscaler, find_autoscaler, fitting, hopeless, slots_on, slots_to_come
from flyte_ray.cluster.lent_secrets import LentSecrets
from flyte_ray.cluster.names import NAMESPACE
from flyte_ray.cluster.options import fits, scarcity
from flyte_ray.cluster.orders import SlotOrder
from flyte_ray.ledger.amounts import LENT, amounts_of
from flyte_ray.ledger.messages import Pool
from flyte_ray.ledger.summary import POOL
from flyte_ray.spec.ids import RunId
from flyte_ray.types.signing import Pickling

SPARE_S: Final = 1.0
"""Time between two questions whether pools have processes to spare."""
GROWTH_S: Final = 30.0
"""Age at which it is asked again what the cluster's autoscaler may add."""


class RayLauncher:
    """The core's way to the launcher actor and to what the cluster has; safe to use from many threads."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        """Use the launcher of this name, as soon as `find` has found it.

        Args:
            name: Of the actor.
            make: Makes the actor, unless there is one, and returns its handle.

        """
        self._name, self._make = name, make
        self._actor: Any = None
        self._stays: concurrent.futures.Future[None] | None = None
        """Ends with the actor, and with a connection to it."""
        self._waiting: list[SlotOrder] = []
        """Slots to start when there is an actor."""
        self._lock, self._taking = threading.Lock(), threading.Lock()
        self.nodes: list[dict[str, float]] = []
        self._free: dict[str, float] = {}
        self.keys: dict[str, Pickling] = {}
        """Of the runs' starters, by id; the actor keeps them while the ledger is restarted, and the other way round."""
        self._secrets = LentSecrets()
        self.autoscaler: Autoscaler | None = None
        self._looked = -GROWTH_S
        self._spared = 0.0
        self._capacities: dict[str, int] = {}
        """By options; asked of each run at each tick, and the same until the nodes are looked at again."""
        self.refresh()

    def find(self) -> None:
        """Find the actor, or make it, and have it start what waits for that.

        Raises:
            RayActorError: The one that was found has just died; try again.

        """
        try:
            actor = ray.get_actor(self._name, NAMESPACE)
        except ValueError:
            actor = self._make()
        self.keys = _ask(actor.keep_keys, self.keys)
        with self._lock:
            self._actor, self._stays = actor, actor.stay.remote().future()
            for of, values in self._secrets.all():
                actor.keep_secrets.remote(of, values)
            if self._waiting:
                actor.launch.remote(self._waiting)
                self._waiting = []

    @property
    def is_missing(self) -> bool:
        """Whether there is no actor: what is to be started waits for `find`."""
        return self._actor is None

    def take_key(self, pickling: Pickling) -> None:
        """Keep a key; returns when the actor has it, too, if there is one."""
        assert pickling.key is not None, "nobody sends none"
        known = {pickling.key.id: pickling}
        with self._taking:  # who finds it here must know that the actor has it
            if self.keys.get(pickling.key.id) == pickling:
                return
            self.keys = {**self.keys, **known}
            actor = self._actor
            if actor is not None:
                with contextlib.suppress(RayActorError):  # it is gone, and the next one gets all
                    _ask(actor.keep_keys, known)

    def take_secrets(self, of: str, values: dict[str, bytes]) -> None:
        """Keep the secrets of a run; returns when the actor has them, too, if there is one."""
        self._secrets.keep(of, values)
        self._bring(of, values)

    def _bring(self, of: str, values: dict[str, bytes]) -> None:
        actor = self._actor
        if actor is not None:
            with contextlib.suppress(RayActorError):  # it is gone, and the next one gets all
                _ask(actor.keep_secrets, of, values)

    def secrets(self, of: str) -> dict[str, bytes] | None:
        """Return the secrets of a run; None if nobody has brought any."""
        found, actor = self._secrets.of(of), self._actor
        if found is None and actor is not None:  # brought to a ledger before this one
            with contextlib.suppress(RayActorError):
                found = _ask(actor.secrets, of)
            if found is not None:
                self._secrets.keep(of, found)
        return found

    def alive(self) -> list[SlotOrder]:
        """Return what started each slot that lives or is about to."""
        actor = self._actor
        found: list[SlotOrder] = _ask(actor.alive) if actor is not None else []
        return found

    def has_ended(self) -> bool:
        """Whether the actor has just been found to be gone, and with it all that it started."""
        if self._stays is None or not self._stays.done():
            return False
        try:
            _ask(self._actor.alive)
        except ActorUnavailableError:
            return False  # perhaps the connection only
        except RayActorError:
            with self._lock:
                self._actor = self._stays = None
            return True
        self._stays = self._actor.stay.remote().future()
        return False

    def refresh(self) -> None:
        """Ask what nodes there are, and now and then what may add more."""
        self.nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if time.monotonic() - self._looked > GROWTH_S:
            self._looked = time.monotonic()
            self.autoscaler = find_autoscaler()
        self._capacities = {}

    def launch(
        self, slot: str, run: RunId, shape: str, options: str, pool: Pool | None = None, own: bool = False
    ) -> None:
        """Start a slot, or have a pool's process serve it."""
        with self._lock:
            order = SlotOrder(slot, run, shape, options, pool, own)
            if self._actor is None:
                self._waiting.append(order)
            else:
                self._actor.launch.remote([order])

    def kill(self, slot: str) -> None:
        """End a slot with its process."""
        with self._lock:
            if self._actor is None:
                self._waiting = [order for order in self._waiting if order.slot != slot]
            else:
                self._actor.kill.remote([slot])

    def recall(self, slot: str) -> None:
        """Do without a slot that has not begun."""
        with self._lock:
            if self._actor is None:
                self._waiting = [order for order in self._waiting if order.slot != slot]
            else:
                self._actor.recall.remote([slot])

    def retire(self, run: RunId) -> None:
        """End the pools of a run that has ended, and forget its secrets."""
        self._secrets.forget(run)
        with self._lock:
            if self._actor is not None:
                self._actor.retire.remote(run)

    def spare(self, names: frozenset[str]) -> None:
        """End processes of pools that do nothing and hold any of these resources."""
        held = names - {LENT}
        with self._lock:
            if held and self._actor is not None and time.monotonic() - self._spared > SPARE_S:
                self._spared = time.monotonic()
                self._actor.spare.remote(held)

    def capacity(self, options: str) -> int:
        """Count the slots that all nodes can hold together, those too that the autoscaler may add."""
        known, nodes = self._capacities, self.nodes
        if (found := known.get(options)) is None:
            needs = json.loads(options)
            here = sum(slots_on(node, needs) for node in nodes)
            found = known[options] = here + slots_to_come(needs, len(nodes), self.autoscaler)
        return found

    def may_grow(self, options: str) -> bool:
        """Whether the autoscaler may add a node for a slot."""
        return slots_to_come(json.loads(options), len(self.nodes), self.autoscaler) > 0

    def look_for_room(self) -> None:
        """Ask what is free, for `scarce`; where nobody waits that need not be known."""
        self._free = ray.available_resources()

    def scarce(self, options: str) -> frozenset[str]:
        """Name the resources of which less is free than a slot needs."""
        return frozenset(name for name, amount in amounts_of(options).items() if self._free.get(name, 0.0) < amount)

    def wanted(self, options: str) -> str:
        """Say for what a slot waits; see `scarcity`."""
        needs = json.loads(options)
        pool = needs.pop(POOL, None)
        return scarcity(needs, ray.available_resources(), ray.cluster_resources(), pool) + self._to_come(needs)

    def _to_come(self, needs: dict[str, Any]) -> str:
        """Say that no node has what a slot needs, and which one the autoscaler may add."""
        if self.autoscaler is None or any(not fits(needs, node) for node in self.nodes):
            return ""
        names = " or ".join(f"'{each.name}'" for each in fitting(needs, self.autoscaler))
        return f", which no node has: the autoscaler may add one{f' of type {names}' if names else ''}"

    def hopeless(self, options: str) -> str:
        """Say why no slot can ever start; empty if one can."""
        return hopeless(json.loads(options), self.nodes, self.autoscaler)


def _ask(method: Any, *args: Any) -> Any:
    # Not ray.get: Ray warns of it in every async actor, also on a thread of its own.
    return method.remote(*args).future().result()
