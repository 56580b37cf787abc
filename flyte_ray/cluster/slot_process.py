"""Be a slot inside a Ray task: fetch the code, connect to the ledger, run actions."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import queue
import threading
import time
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from flyte_ray.cluster.code import unpack_code
from flyte_ray.cluster.collector import spare_collector
from flyte_ray.cluster.guard import guarded
from flyte_ray.cluster.lent_secrets import lent_as
from flyte_ray.cluster.names import NAMESPACE
from flyte_ray.cluster.options import BUNDLE_VAR
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.cluster.shared_root import check_root
from flyte_ray.errors import BaseRuntimeError
from flyte_ray.ledger.messages import Message, Pool
from flyte_ray.ledger.paths import data_place, spec_key, witness_of
from flyte_ray.ledger.places import PROCESS
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.wire import dump_message, load_reply
from flyte_ray.runtime import redaction
from flyte_ray.runtime.blobs import RunBlobs, blobs_at
from flyte_ray.runtime.catalog import Catalog
from flyte_ray.runtime.controller import Controller
from flyte_ray.runtime.given_secrets import given
from flyte_ray.runtime.interrupt import Termination
from flyte_ray.runtime.logs import set_levels
from flyte_ray.runtime.memory import MemoryWatch
from flyte_ray.runtime.output import capture_output
from flyte_ray.runtime.pump import drain, stand_before
from flyte_ray.runtime.slot import Slot
from flyte_ray.runtime.stack import allow_slot_frames
from flyte_ray.runtime.store_wait import StoreWait
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.secret import SECRETS_VAR, load_secrets
from flyte_ray.storage import Store, open_store, witnessed
from flyte_ray.storage.patient import PatientStore
from flyte_ray.storage.providers import Options
from flyte_ray.storage.working import ROOT_VAR, configure
from flyte_ray.types.signing import Pickling

_log: Final = logging.getLogger("flyte_ray.runtime")
GONE_S: Final = 60.0
"""A slot ends itself when its ledger has not answered for this long."""


class RayPort:
    """Exchanges messages with the ledger actor; a thread of its own receives the replies in order."""

    lends = True

    def __init__(self, ledger: str) -> None:
        """Connect to the ledger of this name."""
        self._name = ledger
        self._ledger = ray.get_actor(ledger, NAMESPACE)
        self._open: queue.Queue[tuple[int, Any] | None] = queue.Queue()
        self._latest: Any = None
        self.slot: Slot | None = None
        self.blobs: RunBlobs | None = None
        self.given = contextlib.ExitStack()
        """The secrets that the slot was given."""
        threading.Thread(target=self._receive, name="flyte-ray-receive", daemon=True).start()

    def send(self, message: Message) -> None:
        """Post a message to the ledger."""
        ref = self._ledger.exchange.remote(dump_message(message))
        self._latest = ref
        self._open.put((message.seq, ref))

    def latest(self) -> object:
        """Return the latest message's reference."""
        return self._latest

    def park(self, ticket: object) -> None:
        """Lend the CPU until a message is answered: Ray takes it back from a task that waits so."""
        ray.wait([ticket], timeout=None, fetch_local=False)

    def sees(self, run: str, slot: str) -> bool:
        """Ask whether the ledger's own node sees a run's start in the root; if not, the slot waits for that."""
        try:
            seen = bool(_answer(self._ledger.sees.remote(run)))
        except RayActorError:
            self._reconnect()
            return False
        self.tell_waits(run, slot, "" if seen else "no node sees the run's start in it")
        return seen

    def pickling(self, key: str | None) -> Pickling:
        """Ask how to pickle in a run whose start names this key."""
        since = time.monotonic()
        while True:
            try:
                found: Pickling = _answer(self._ledger.pickling.remote(key))
                return found
            except RayActorError:
                if time.monotonic() - since > GONE_S:
                    raise
                time.sleep(0.2)
                self._reconnect()

    def secrets(self, run: str, nonce: str, wanted: str) -> dict[str, bytes]:
        """Ask for the secrets of this slot's environment."""
        since = time.monotonic()
        while True:
            try:
                found: dict[str, bytes] = _answer(self._ledger.secrets.remote(lent_as(run, nonce), wanted))
                return found
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, BaseRuntimeError) else error from None
            except RayActorError:
                if time.monotonic() - since > GONE_S:
                    raise
                time.sleep(0.2)
                self._reconnect()

    def tell_waits(self, run: str, slot: str, reason: str) -> None:
        """Tell why a slot that has not begun its conversation waits for the store; empty that it does no longer."""
        self._ledger.slot_waits.remote(run, slot, reason)

    def close(self) -> None:
        """Stop receiving, and let go of what the slot keeps on this machine, and of what Ray counts as in use.

        A process that holds a reference does not end when Ray has no more use for it, and the collector may never come
        to this slot, whose parts refer to each other.
        """
        self._open.put(None)
        if self.blobs is not None:
            self.blobs.close()
        self.given.close()
        drain()
        self._latest = self._ledger = self.slot = None

    def _receive(self) -> None:
        silent_since: float | None = None
        while (item := self._open.get()) is not None and (slot := self.slot) is not None:
            seq, ref = item
            try:
                reply = load_reply(ray.get(ref))
            except RayError as error:
                if not isinstance(error, RayActorError):
                    # It is said again; if it is never taken, this process ends, which is better than to hang.
                    _log.error("the ledger met an error in a message of this slot: %s", error)
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > GONE_S:
                    os._exit(1)  # nobody is left to tell; the launcher, if it lives, reports the death
                time.sleep(0.2)
                self._reconnect()
                slot.lost()
                continue
            silent_since = None
            slot.hear(reply, seq)

    def _reconnect(self) -> None:
        if self._ledger is None:
            return  # closed
        try:
            self._ledger = ray.get_actor(self._name, NAMESPACE)
        except ValueError:
            return  # not there yet: the old handle fails again, and we come back


def _answer(ref: Any) -> Any:
    """Wait for an answer that comes in milliseconds and keep the CPU: Ray would start another process upon ray.get."""
    return ref.future().result()


def serve_slot(
    name: str, run: str, shape: str, ledger: str, root: str, storage: Options, keeper: str, pool: Pool | None
) -> None:
    """Run a slot of a run to its end; the calling thread must be the process's main thread.

    Args:
        name: The slot's id.
        run: The run.
        shape: The slot's shape.
        ledger: Name of the ledger actor.
        root: URI of the root.
        storage: fsspec arguments by protocol.
        keeper: Address of the ledger's node, for the sentence that refuses a root that is not shared.
        pool: The pool that the slot belongs to, though in a process of its own.

    """
    port = RayPort(ledger)
    configure(storage)
    os.environ[ROOT_VAR] = root
    try:
        store, concurrency = open_store(root, storage), pool.concurrency if pool else 1
        slot = make_slot(name, RunId(run), shape, port, store, keeper, concurrency=concurrency)
        if concurrency == 1 and ray.get_runtime_context().get_assigned_resources().get("memory"):
            slot.stacks = False
            MemoryWatch(slot).start()
        spare_collector()
        allow_slot_frames()
        node = ray.get_runtime_context().get_node_id()
        with guarded(name, node), capture_output(), Termination(slot.tell_last):
            slot.serve()
    finally:
        port.close()


def make_slot(
    name: str,
    run: RunId,
    shape: str,
    port: RayPort,
    root: Store,
    keeper: str,
    process: str = "",
    concurrency: int = 1,
) -> Slot:
    """Read what a slot needs to begin; waits for a root that is away. `process` names that of a pool."""
    wait = StoreWait(name, lambda reason: port.tell_waits(run, name, reason))
    check_root(root, run, ray.util.get_node_ip_address(), keeper, sees=lambda: port.sees(run, name))
    store = PatientStore(witnessed(root, spec_key(run)), wait)
    spec = load_spec(store, run)
    code = os.environ.get(BUNDLE_VAR)  # of a resumed run it may be today's
    unpack_code(store, code)
    wanted = os.environ.get(SECRETS_VAR)
    if wanted:
        values = port.secrets(run, spec["nonce"], wanted)
        redaction.hold(values)  # for as long as this process lives
        stand_before((1, 2))
        port.given.enter_context(given(load_secrets(wanted), values))
    set_levels(*(spec.get("log_levels") or (None, None)))
    pickling = port.pickling(spec.get("key")).under(spec.get("pickles"))
    catalog = Catalog(shaping_of(code, spec), pickling)
    witness = witness_of(spec)
    blobs = port.blobs = blobs_at(store, data_place(run, spec), pickling, witness, near=True)
    controller = Controller(run, catalog, blobs, "remote", {**spec, "code": code})
    about = {
        "pid": str(os.getpid()),
        "node": ray.get_runtime_context().get_node_id(),
        "python": platform.python_version(),
        "ray": ray.__version__,
    }
    if process:
        about[PROCESS] = process
    slot = Slot(name, run, shape, port, controller, about, concurrency)
    port.slot = controller.slot = wait.slot = slot
    return slot
