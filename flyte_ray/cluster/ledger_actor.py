"""Run the ledger's core as a Ray actor: messages in and out, the cluster's capacity, recovery after a restart."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from typing import Any, Final

import ray

from flyte_ray.cluster.launcher import SlotDeath, SlotOrder
from flyte_ray.cluster.names import NAMESPACE
from flyte_ray.cluster.options import fits
from flyte_ray.ledger.columns import warm_up
from flyte_ray.ledger.lease import read_lease
from flyte_ray.ledger.messages import Reply, TaskRef
from flyte_ray.ledger.requests import Ended, Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.wire import dump_reply, load_message
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

TICK_S: Final = 0.05
NODES_S: Final = 1.0
"""Age at which the list of nodes is asked for again."""
HOPELESS_S: Final = 3.0
"""How long no node may fit a shape before its actions fail."""
WARM_S: Final = 3.0
"""Age at which an idle ledger loads what its first large segment would load."""
_log = logging.getLogger("flyte_ray.ledger")


class RayLauncher:
    """The core's way to the launcher actor and to what the cluster has."""

    def __init__(self, launcher: str) -> None:
        """Use the launcher of this name."""
        self.actor = ray.get_actor(launcher, NAMESPACE)
        self.nodes: list[dict[str, float]] = []
        self.refresh()

    def refresh(self) -> None:
        """Ask what nodes there are."""
        self.nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def launch(self, slot: str, run: RunId, shape: str, options: str) -> None:
        """Start a slot."""
        self.actor.launch.remote([SlotOrder(slot, run, shape, options)])

    def kill(self, slot: str) -> None:
        """End a slot."""
        self.actor.kill.remote([slot])

    def capacity(self, options: str) -> int:
        """Count the slots that all nodes can hold together."""
        needs = json.loads(options)
        return sum(_slots_on(node, needs) for node in self.nodes)

    def wanted(self, options: str) -> str:
        """Say for what a slot waits: `needs 1 GPU, 0 of 2 free`, or for its process to start."""
        needs = json.loads(options)
        amounts = {"CPU": needs.get("num_cpus", 1), "GPU": needs.get("num_gpus", 0), **needs.get("resources", {})}
        amounts["GiB of memory"] = needs.get("memory", 0) / 1024**3
        amounts = {name: amount for name, amount in amounts.items() if amount}
        free, total = ray.available_resources(), ray.cluster_resources()
        for each in (free, total):
            each["GiB of memory"] = each.get("memory", 0) / 1024**3
        scarce = {name: amount for name, amount in amounts.items() if amount > free.get(name, 0)}
        if not scarce:
            return f"a process with {', '.join(f'{amount:.3g} {name}' for name, amount in amounts.items())} starts"
        words = [
            f"{amount:.3g} {name}, {free.get(name, 0):.3g} of {total.get(name, 0):.3g} free"
            for name, amount in scarce.items()
        ]
        return f"needs {'; '.join(words)}"

    def lacking(self, options: str) -> list[str]:
        """Say what the best node lacks for a slot."""
        needs = json.loads(options)
        return min((fits(needs, node) for node in self.nodes), key=len, default=["the cluster has no nodes"])


def _slots_on(node: dict[str, float], needs: dict[str, Any]) -> int:
    if fits(needs, node):
        return 0
    amounts = {"CPU": needs.get("num_cpus", 1), "GPU": needs.get("num_gpus", 0), "memory": needs.get("memory", 0)}
    amounts.update(needs.get("resources", {}))
    # A slot that asks for nothing is bounded all the same: each one is a process.
    return int(min((node[name] / amount for name, amount in amounts.items() if amount), default=node.get("CPU", 1)))


class LedgerActor:
    """The actor; its methods only carry what `ledger/service.py` decides."""

    def __init__(self, root: str, storage: dict[str, Any], launcher: str, holder: str) -> None:
        """Serve a root.

        Args:
            root: Its URI.
            storage: fsspec arguments; never recorded.
            launcher: Name of the launcher actor.
            holder: Stays the same when this actor is restarted.

        """
        self._store = open_store(root, storage)
        self._holder = holder
        self._launcher = RayLauncher(launcher)
        self._ledger = Ledger(self._store, self._launcher, holder)
        self._hopeless: dict[tuple[RunId, str], float] = {}
        self._ready = threading.Event()
        threading.Thread(target=self._keep_going, name="flyte-ray-tick", daemon=True).start()

    async def ping(self) -> str:
        """Answer when the runs held before a restart are open again."""
        await self._recovered()
        return self._holder

    async def process(self) -> int:
        """Return the id of this process."""
        return os.getpid()

    async def exchange(self, message: bytes) -> bytes:
        """Carry one exchange."""
        await self._recovered()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._ledger.exchange(load_message(message), lambda reply: _fulfil(loop, future, reply))
        return dump_reply(await future)

    async def slot_ended(self, death: SlotDeath) -> None:
        """Take note that a slot is gone."""
        await self._recovered()
        if death.hopeless:
            self._ledger.fail_queued(RunId(death.run), death.shape, death.reason, "SlotStartError")
        self._ledger.slot_ended(RunId(death.run), death.slot, death.reason)

    async def start(self, start: Start) -> None:
        """Start a run; returns when its start is stored."""
        await self._recovered()
        await asyncio.to_thread(self._ledger.start, start)

    async def resume(self, run: RunId, take_over: bool, tasks: dict[str, TaskRef]) -> None:
        """Continue a run that was cut off."""
        await self._recovered()
        await asyncio.to_thread(self._ledger.resume, run, {}, by_person=True, take_over=take_over, tasks=tasks)

    async def wait(self, run: RunId) -> Ended:
        """Return when a run has ended; raises `RunNotFoundError` if it is not active here."""
        await self._recovered()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Ended | Exception] = loop.create_future()
        self._ledger.wait(run, lambda how: _fulfil(loop, future, how))
        how = await future
        if isinstance(how, Exception):
            raise how
        return how

    async def abort(self, run: RunId, action: str, reason: str) -> bool:
        """Abort an action and all below it."""
        await self._recovered()
        return self._ledger.abort(run, action, reason)

    async def look(self, run: RunId) -> dict[str, Any] | None:
        """Summarize an active run."""
        await self._recovered()
        live = self._ledger.look(run)
        if live is not None:
            live["waits"] = [self._launcher.wanted(options) for options in live["waits"]]
        return live

    async def _recovered(self) -> None:
        while not self._ready.is_set():
            await asyncio.sleep(0.01)

    def _keep_going(self) -> None:
        self._recover()
        self._ready.set()
        asked = 0.0
        warm_at: float | None = time.monotonic() + WARM_S
        while True:
            time.sleep(TICK_S)
            try:
                if warm_at and time.monotonic() > warm_at and not self._ledger.runs:
                    warm_at = None
                    warm_up()
                self._ledger.tick()
                if time.monotonic() - asked > NODES_S:
                    asked = time.monotonic()
                    self._launcher.refresh()
                    self._fail_hopeless()
            except Exception:
                _log.exception("the ledger's clock met an error and goes on")

    def _recover(self) -> None:
        # Not ray.get: Ray warns of it in every async actor, also on a thread of its own.
        alive: list[SlotOrder] = self._launcher.actor.alive.remote().future().result()
        for key in self._store.keys("active"):
            run = RunId(key.rpartition("/")[2])
            lease = read_lease(self._store, run)
            if lease and lease["holder"] == self._holder:
                slots = {order.slot: order.shape for order in alive if order.run == run}
                try:
                    self._ledger.resume(run, slots, by_person=False, tasks={})
                except Exception:
                    _log.exception("run %s could not be continued after a restart of the ledger", run)

    def _fail_hopeless(self) -> None:
        for run, shape, options in self._ledger.waiting_shapes():
            lacking = self._launcher.lacking(options)
            since = self._hopeless.setdefault((run, shape), time.monotonic())
            if not lacking:
                del self._hopeless[run, shape]
            elif time.monotonic() - since > HOPELESS_S:
                message = (
                    f"No node of this cluster can ever run this: {'; '.join(lacking)}. Ask for less, or add a node."
                )
                self._ledger.fail_queued(run, shape, message)


def _fulfil(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], value: Any) -> None:
    def fulfil() -> None:
        if not future.done():
            future.set_result(value)

    loop.call_soon_threadsafe(fulfil)
