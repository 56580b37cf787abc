"""Be a pool's process inside a Ray task: serve one slot after another, or those of several runs beside each other.

What actions leave in the process (imported modules, a loaded model) is there for the next ones, of other runs too.
Invariants: a process that serves nothing, or in which everything waits, lends its CPU: its main thread sits in a call
of Ray's then, which is the only one that counts; sync actions run on the main thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ray

from flyte_ray.cluster.collector import spare_collector
from flyte_ray.cluster.guard import guarded
from flyte_ray.cluster.names import NAMESPACE, launcher_name
from flyte_ray.cluster.orders import SlotOrder
from flyte_ray.cluster.slot_process import RayPort, make_slot
from flyte_ray.ledger.messages import Pool
from flyte_ray.runtime.interrupt import Termination
from flyte_ray.runtime.memory import MemoryWatch
from flyte_ray.runtime.offspring import offspring
from flyte_ray.runtime.output import capture_output
from flyte_ray.runtime.slot import Slot
from flyte_ray.runtime.stack import allow_slot_frames
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from flyte_ray.storage.providers import Options
from flyte_ray.storage.working import configure


def serve_pool(
    name: str, run: str, shape: str, ledger: str, root: str, storage: Options, keeper: str, pool: Pool
) -> None:
    """Serve slots until the launcher wants no more; the calling thread must be the process's main thread.

    Args:
        name: The process's name.
        run: The run that it was started for.
        shape: Shape of the slots.
        ledger: Name of the ledger actor.
        root: URI of the root.
        storage: fsspec arguments by protocol.
        keeper: Address of the ledger's node.
        pool: Whose process it is.

    """
    configure(storage)
    spare_collector()
    allow_slot_frames()
    process = PoolProcess(name, ledger, root, storage, keeper, pool)
    with guarded(name, ray.get_runtime_context().get_node_id()), capture_output(), Termination(process.tell_last):
        if pool.concurrency == 1:
            process.serve_in_turn()
        else:
            process.serve_together()


class PoolProcess:
    """What one process of a pool serves."""

    def __init__(self, name: str, ledger: str, root: str, storage: Options, keeper: str, pool: Pool) -> None:
        """Serve nothing yet."""
        self._name, self._ledger, self._root, self._keeper, self._pool = name, ledger, root, keeper, pool
        self._store = open_store(root, storage)
        self._launcher = ray.get_actor(launcher_name(root), NAMESPACE)
        self._changed = threading.Condition()
        self._slots: dict[str, Slot | None] = {}
        """What is served, None while it is made."""
        self._resting: dict[str, object] = {}
        """The open exchanges of slots in which nothing runs, by slot."""
        self._ask: Any = None
        """The open question for the next slot."""
        self._is_over = False
        self._error: BaseException | None = None

    def tell_last(self) -> None:
        """Have all slots say that their process ends."""
        for slot in list(self._slots.values()):
            if slot is not None:
                slot.tell_last()

    def serve_in_turn(self) -> None:
        """Serve one slot after another on the calling thread."""
        while (order := self._ask_next()) is not None:
            self._serve(order, RayPort(self._ledger))

    def serve_together(self) -> None:
        """Serve slots on threads; the calling one lends the CPU when nothing runs in any of them."""
        self._start(self._begin_all, "flyte-ray-next")
        while True:
            with self._changed:
                self._changed.wait_for(self._may_lend)
                if self._error is not None:
                    raise self._error
                if self._is_over:
                    return
                waits = [self._ask, *self._resting.values()]
            ray.wait(waits, num_returns=1, fetch_local=False)

    def _may_lend(self) -> bool:
        return self._is_over or self._error is not None or (self._ask and len(self._resting) == len(self._slots))

    def _ask_next(self) -> SlotOrder | None:
        ask = self._ask = self._launcher.next_slot.remote(self._name)
        with self._changed:
            self._changed.notify_all()
        order: SlotOrder | None = ray.get(ask)
        return order

    def _begin_all(self) -> None:
        while (order := self._ask_next()) is not None:
            with self._changed:
                self._slots[order.slot] = None
            port = _SharedPort(self._ledger, self, order.slot)
            self._start(partial(self._serve, order, port), f"flyte-ray-{order.slot}")
        self._is_over = True

    def _start(self, work: Callable[[], None], name: str) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # the main thread ends with it, and the process with that
                self._error = error
            with self._changed:
                self._changed.notify_all()

        threading.Thread(target=run, name=name, daemon=True).start()

    def _serve(self, order: SlotOrder, port: RayPort) -> None:
        concurrency = self._pool.concurrency
        watch = None
        try:
            run = RunId(order.run)
            slot = make_slot(order.slot, run, order.shape, port, self._store, self._keeper, self._name, concurrency)
            self._slots[order.slot] = slot
            if concurrency > 1:
                offspring.watch(None)  # which of several works on a thread that is none of ours, nobody knows
            elif ray.get_runtime_context().get_assigned_resources().get("memory"):
                watch = MemoryWatch(slot)
                watch.start()
            slot.serve()
        except BaseException as error:
            self._error = error  # before its slot is gone, so that the main thread sees both
            raise
        finally:
            port.close()
            if watch is not None:
                watch.stop()
            with self._changed:
                self._slots.pop(order.slot, None)
                self._changed.notify_all()
        ray.get(self._launcher.slot_over.remote(self._name, order.slot))

    @contextlib.contextmanager
    def resting(self, slot: str, ticket: object) -> Iterator[None]:
        """Know that nothing runs in a slot while this is open; `ticket` is answered when something does."""
        with self._changed:
            self._resting[slot] = ticket
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                del self._resting[slot]
                self._changed.notify_all()


class _SharedPort(RayPort):
    """The port of one of several slots in a process."""

    def __init__(self, ledger: str, process: PoolProcess, slot: str) -> None:
        super().__init__(ledger)
        self._process, self._name_of_slot = process, slot

    def park(self, ticket: object) -> None:
        with self._process.resting(self._name_of_slot, ticket):
            super().park(ticket)

    def close(self) -> None:
        super().close()
        del self._process  # which holds references, too
