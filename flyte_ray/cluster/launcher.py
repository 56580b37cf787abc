"""Own the slots' Ray tasks: a tiny actor that starts them and reports their deaths.

Ray ends what a dead owner owns, so neither a user's driver nor a slot may own a slot; and a ledger that is restarted
must find its slots alive. No values and no log text pass through here.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import ray
from ray.exceptions import (
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)

from flyte_ray.cluster.names import NAMESPACE
from flyte_ray.cluster.package import arriving
from flyte_ray.errors import BaseRuntimeError
from flyte_ray.ledger.verdicts import RAY_OOM


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
    reason: str
    """Empty if it ended by itself, as it was told to."""
    hopeless: bool
    """Another slot of this shape would fail in the same way."""


class Launcher:
    """The actor; create it with `max_restarts=0`, before the ledger, so that memory pressure hits it last."""

    def __init__(self, program: str, ledger: str, root: str, storage: dict[str, Any]) -> None:
        """Launch slots for the ledger of this name; `program` brings them this package (`package.py`)."""
        self._program, self._ledger, self._root, self._storage = program, ledger, root, storage
        self._node = ray.util.get_node_ip_address()
        self._refs: dict[str, Any] = {}
        self._orders: dict[str, SlotOrder] = {}
        self._deaths: list[SlotDeath] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._entry = ray.remote(arriving("flyte_ray.cluster.slot_process", "serve_slot"))

    async def launch(self, orders: list[SlotOrder]) -> None:
        """Start slots."""
        for order in orders:
            try:
                options = json.loads(order.options)
                remote = self._entry.options(**options, name=f"flyte-ray slot {order.slot}")
                about = order.slot, order.run, order.shape, self._ledger, self._root, self._storage, self._node
                ref = remote.remote(self._program, *about)
            except Exception as error:
                await self._report(SlotDeath(order.run, order.slot, order.shape, f"Ray refused: {error}", True))
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

    async def alive(self) -> list[SlotOrder]:
        """Return what started each slot that lives or is about to."""
        return list(self._orders.values())

    async def _watch(self, order: SlotOrder, ref: Any) -> None:
        reason, is_hopeless = "", False
        try:
            await ref
        except asyncio.CancelledError:
            raise
        except Exception as error:
            reason, is_hopeless = read_death(error)
        del self._refs[order.slot], self._orders[order.slot]
        await self._report(SlotDeath(order.run, order.slot, order.shape, reason, is_hopeless))

    async def _report(self, death: SlotDeath) -> None:
        while True:
            try:
                await ray.get_actor(self._ledger, NAMESPACE).slot_ended.remote(death)
                return
            except (RayActorError, ValueError):
                # The ledger is being restarted; deaths are kept until it takes them.
                await asyncio.sleep(0.5)


def read_death(error: Exception) -> tuple[str, bool]:
    """Say for people why a slot's Ray task ended, and whether another slot of its shape would end in the same way."""
    match error:
        case OutOfMemoryError():
            return f"{RAY_OOM}: {error}", False
        case WorkerCrashedError():
            return "its process ended unexpectedly (killed, exited or crashed)", False
        case RuntimeEnvSetupError():
            return f"its environment could not be set up: {error}", True
        case RayTaskError():
            # Of our own entry: the next slot would meet it too. What we or the arrival raise is meant to be read; the
            # rest needs Ray's traceback.
            told = isinstance(error.cause, (BaseRuntimeError, ImportError))
            return (str(error.cause) if told else f"{type(error).__name__}: {error}"), True
        case _:
            return f"{type(error).__name__}: {error}", False
