"""Own the slots' Ray tasks: a tiny actor that starts them and reports their deaths.

Ray ends what a dead owner owns, so neither a user's driver nor a slot may own a slot; and a ledger that is restarted
must find its slots alive. No values and no log text pass through here.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayActorError

from flyte_ray.cluster.deaths import SLOT_TASK, read_death
from flyte_ray.cluster.names import NAMESPACE
from flyte_ray.cluster.package import arriving
from flyte_ray.ledger.losses import Loss
from flyte_ray.storage.providers import Options
from flyte_ray.types.signing import Pickling


class SlotOrder(NamedTuple):
    """What starts a slot."""

    slot: str
    run: str
    shape: str
    options: str
    """JSON of the Ray options."""


class SlotDeath(NamedTuple):
    """A slot that has ended."""

    run: str
    slot: str
    shape: str
    loss: Loss
    """Its reason is empty if the slot ended by itself, as it was told to."""
    hopeless: bool
    """Another slot of this shape would fail in the same way."""


class Launcher:
    """The actor; create it with `max_restarts=0`, before the ledger, so that memory pressure hits it last."""

    def __init__(self, program: str, ledger: str, root: str, storage: Options) -> None:
        """Launch slots for the ledger of this name; `program` brings them this package (`package.py`)."""
        self._program, self._ledger, self._root, self._storage = program, ledger, root, storage
        self._node = ray.util.get_node_ip_address()
        self._refs: dict[str, Any] = {}
        self._orders: dict[str, SlotOrder] = {}
        self._deaths: list[SlotDeath] = []
        self._keys: dict[str, Pickling] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._entry = ray.remote(arriving("flyte_ray.cluster.slot_process", "serve_slot"))

    async def launch(self, orders: list[SlotOrder]) -> None:
        """Start slots."""
        for order in orders:
            try:
                options = json.loads(order.options)
                remote = self._entry.options(**options, name=f"{SLOT_TASK}{order.slot}")
                about = order.slot, order.run, order.shape, self._ledger, self._root, self._storage, self._node
                ref = remote.remote(self._program, *about)
            except Exception as error:
                await self._report(SlotDeath(order.run, order.slot, order.shape, Loss(f"Ray refused: {error}"), True))
                continue
            self._refs[order.slot], self._orders[order.slot] = ref, order
            watcher = asyncio.ensure_future(self._watch(order, ref))
            self._watchers.add(watcher)
            watcher.add_done_callback(self._watchers.discard)

    async def kill(self, slots: list[str]) -> None:
        """End slots, those too that have not begun."""
        for slot in slots:
            ref = self._refs.get(slot)
            if ref is not None:
                ray.cancel(ref, force=True)

    async def keep_keys(self, keys: dict[str, Pickling]) -> dict[str, Pickling]:
        """Keep the keys of the runs' starters, by id, for a ledger that is restarted; return all."""
        self._keys.update(keys)
        return self._keys

    async def stay(self) -> None:
        """Never return: who asks learns at once when this actor is gone."""
        await asyncio.Event().wait()

    async def process(self) -> int:
        """Return the id of this process."""
        return os.getpid()

    async def alive(self) -> list[SlotOrder]:
        """Return what started each slot that lives, is about to, or has died without that any ledger knows."""
        return list(self._orders.values())

    async def _watch(self, order: SlotOrder, ref: Any) -> None:
        loss, is_hopeless = Loss(""), False
        try:
            await ref
        except asyncio.CancelledError:
            raise
        except Exception as error:
            loss, is_hopeless = read_death(order.slot, error, ray.nodes)
        del self._refs[order.slot]
        await self._report(SlotDeath(order.run, order.slot, order.shape, loss, is_hopeless))
        del self._orders[order.slot]

    async def _report(self, death: SlotDeath) -> None:
        while True:
            try:
                await ray.get_actor(self._ledger, NAMESPACE).slot_ended.remote(death)
                return
            except (RayActorError, ValueError):
                # The ledger is being restarted; deaths are kept until it takes them.
                await asyncio.sleep(0.5)
