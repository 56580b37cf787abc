"""Own the slots' Ray tasks: a tiny actor that starts them and reports their deaths.

Ray ends what a dead owner owns, so neither a user's driver nor a slot may own a slot; and a ledger that is restarted
must find its slots alive. No values and no log text pass through here.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Coroutine
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RuntimeEnvSetupError

from flyte_ray.cluster.deaths import SLOT_TASK, read_death
from flyte_ray.cluster.images import without_uv
from flyte_ray.cluster.installing import lacks_uv
from flyte_ray.cluster.lent_secrets import LentSecrets
from flyte_ray.cluster.names import NAMESPACE
from flyte_ray.cluster.options import holds_accelerator, secrets_in
from flyte_ray.cluster.orders import SlotDeath, SlotOrder
from flyte_ray.cluster.package import arriving
from flyte_ray.cluster.pools import Pools
from flyte_ray.ledger.losses import CRASHED, ENDED, MEMORY, Loss
from flyte_ray.storage.providers import Options
from flyte_ray.types.signing import Pickling

TICK_S: Final = 1.0
"""Time between two looks at which processes of pools have had nothing to do for too long."""


class Launcher:
    """The actor; create it with `max_restarts=0`, before the ledger, so that memory pressure hits it last."""

    def __init__(self, program: str, ledger: str, root: str, storage: Options) -> None:
        """Launch slots for the ledger of this name; `program` brings them this package (`package.py`)."""
        self._program, self._ledger, self._root, self._storage = program, ledger, root, storage
        self._node = ray.util.get_node_ip_address()
        self._refs: dict[str, Any] = {}
        """Ray tasks by the name of the slot, or of the pool's process, that each is."""
        self._orders: dict[str, SlotOrder] = {}
        self._keys: dict[str, Pickling] = {}
        self._secrets = LentSecrets()
        self._running: set[asyncio.Task[None]] = set()
        self._entry = ray.remote(arriving("flyte_ray.cluster.slot_process", "serve_slot"))
        # Not more calls: Ray would use the process, with all that is in it, for other runs and environments; what has
        # been given secrets is nobody else's either, and what has used a GPU keeps its memory until it ends (Ray itself
        # sees to that only where the decorator names GPUs, which the options of a call are not).
        self._own_entry = ray.remote(max_calls=1)(arriving("flyte_ray.cluster.slot_process", "serve_slot"))
        self._pool_entry = ray.remote(max_calls=1)(arriving("flyte_ray.cluster.pool_process", "serve_pool"))
        self._pools = Pools(time.monotonic, lambda: uuid.uuid4().hex[:8])
        self._asking: dict[str, asyncio.Future[SlotOrder | None]] = {}
        """Processes of pools that wait for a slot to serve, or for their end."""
        self._ended: dict[str, str] = {}
        """Slots for which a process of a pool was ended, by the process."""
        self._keeps_pools = False
        self._lack_uv: set[str] = set()
        """Shapes whose nodes have no uv and cannot get it: pip installs what they need."""
        self._by_pip: set[str] = set()
        """Slots for which it does."""

    async def launch(self, orders: list[SlotOrder]) -> None:
        """Start slots."""
        for order in orders:
            self._orders[order.slot] = order
            if not order.is_pooled:
                self._start(order)
                continue
            for process in self._pools.want(order):
                self._start(process)
            self._answer()
            if not self._keeps_pools:
                self._keeps_pools = True
                self._go(self._keep_pools())

    def _start(self, order: SlotOrder) -> None:
        is_slot = order.slot in self._orders
        try:
            options = json.loads(order.options)
            is_own = order.pool or secrets_in(options) or holds_accelerator(options)
            entry = (self._own_entry if is_own else self._entry) if is_slot else self._pool_entry
            if order.shape in self._lack_uv and "uv" in options.get("runtime_env", {}):
                options["runtime_env"] = without_uv(options["runtime_env"])
                self._by_pip.add(order.slot)
            remote = entry.options(**options, name=f"{SLOT_TASK}{order.slot}")
            about = order.slot, order.run, order.shape, self._ledger, self._root, self._storage, self._node
            ref = remote.remote(self._program, *about, order.pool)
        except Exception as error:
            self._go(self._lose(order.slot, order, Loss(f"Ray refused: {error}"), hopeless=True))
            return
        self._refs[order.slot] = ref
        self._go(self._watch(order, ref))

    async def recall(self, slots: list[str]) -> None:
        """End slots that have not begun; one of a pool that has finds out that nobody wants it."""
        for slot in slots:
            if self._pools.revoke(slot):
                self._orders.pop(slot, None)
            elif self._pools.home(slot) is None:
                self._end(slot)

    async def kill(self, slots: list[str]) -> None:
        """End slots with their processes, those too that have not begun."""
        for slot in slots:
            process = self._pools.home(slot)
            if process is None:
                await self.recall([slot])
            else:
                self._ended[process] = slot
                self._end(process)

    def _end(self, name: str) -> None:
        ref = self._refs.get(name)
        if ref is not None:
            ray.cancel(ref, force=True)

    async def keep_keys(self, keys: dict[str, Pickling]) -> dict[str, Pickling]:
        """Keep the keys of the runs' starters, by id, for a ledger that is restarted; return all."""
        self._keys.update(keys)
        return self._keys

    async def keep_secrets(self, of: str, values: dict[str, bytes]) -> None:
        """Keep the secrets of a run, for a ledger that is restarted."""
        self._secrets.keep(of, values)

    async def secrets(self, of: str) -> dict[str, bytes] | None:
        """Return the secrets of a run; None if nobody has brought any."""
        return self._secrets.of(of)

    async def stay(self) -> None:
        """Never return: who asks learns at once when this actor is gone."""
        await asyncio.Event().wait()

    async def process(self) -> int:
        """Return the id of this process."""
        return os.getpid()

    async def alive(self) -> list[SlotOrder]:
        """Return what started each slot that lives, is about to, or has died without that any ledger knows."""
        return list(self._orders.values())

    # Pools

    async def next_slot(self, process: str) -> SlotOrder | None:
        """Return the next slot that a pool's process shall serve, when there is one; None if it shall end."""
        asking: asyncio.Future[SlotOrder | None] = asyncio.get_running_loop().create_future()
        self._asking[process] = asking
        self._pools.ask(process)
        self._answer()
        return await asking

    async def slot_over(self, process: str, slot: str) -> None:
        """Take note that a slot has ended in a pool's process, as it was told to."""
        order = self._pools.over(process, slot)
        if order is not None:
            self._go(self._report(SlotDeath(order.run, slot, order.shape, Loss(""), False)))

    async def retire(self, run: str) -> None:
        """End the pools of a run that has ended, and forget its secrets."""
        self._secrets.forget(run)
        self._let_go(self._pools.retire(run))

    async def spare(self, resources: frozenset[str]) -> None:
        """End processes of pools that do nothing and hold any of these resources."""
        self._let_go(self._pools.spare(resources))

    def _answer(self) -> None:
        for process, order in self._pools.answers():
            asking = self._asking.pop(process, None)
            if asking is not None and not asking.done():
                asking.set_result(order)

    def _let_go(self, unbegun: list[str]) -> None:
        self._answer()
        for process in unbegun:
            self._end(process)

    async def _keep_pools(self) -> None:
        while len(self._pools):
            await asyncio.sleep(TICK_S)
            self._let_go(self._pools.tick())
        self._keeps_pools = False

    # Deaths

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _watch(self, order: SlotOrder, ref: Any) -> None:
        loss, is_hopeless = Loss(""), False
        try:
            await ref
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if isinstance(error, RuntimeEnvSetupError) and lacks_uv(str(error)) and order.slot not in self._by_pip:
                self._lack_uv.add(order.shape)
                self._start(order)
                return
            loss, is_hopeless = read_death(order.slot, error, ray.nodes)
        self._by_pip.discard(order.slot)
        del self._refs[order.slot]
        await self._lose(order.slot, order, loss, hopeless=is_hopeless)

    async def _lose(self, name: str, order: SlotOrder, loss: Loss, *, hopeless: bool) -> None:
        if name in self._orders:
            await self._report(SlotDeath(order.run, name, order.shape, loss, hopeless))
            return
        self._asking.pop(name, None)
        ended_for = self._ended.pop(name, None)
        waiting = self._pools.abandon(name) if hopeless else []
        lost, processes = self._pools.died(name)
        for process in processes:
            self._start(process)
        self._answer()
        for each in [*waiting, *lost]:
            # Who of several was to blame nobody can tell.
            is_shared = len(lost) > 1 and each.slot != ended_for
            told = loss._replace(cause=ENDED) if is_shared and loss.cause in (CRASHED, MEMORY) else loss
            await self._report(SlotDeath(each.run, each.slot, each.shape, told, hopeless))

    async def _report(self, death: SlotDeath) -> None:
        while True:
            try:
                await ray.get_actor(self._ledger, NAMESPACE).slot_ended.remote(death)
                break
            except (RayActorError, ValueError):
                # The ledger is being restarted; deaths are kept until it takes them.
                await asyncio.sleep(0.5)
        self._orders.pop(death.slot, None)
