"""Run one run inside the user's process: the ledger's core, and threads as slots.

Slot 0 is the calling thread, so that debuggers, Ctrl-C and main-thread libraries work.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from flyte_ray.errors import RunNotFoundError
from flyte_ray.ledger.faults import NO_FAULTS, Faults
from flyte_ray.ledger.losses import ENDED, Loss
from flyte_ray.ledger.messages import Message, Pool
from flyte_ray.ledger.paths import data_place, spec_key, witness_of
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.requests import Ended, Start
from flyte_ray.ledger.revision import Revision
from flyte_ray.ledger.service import Ledger
from flyte_ray.runtime.blobs import blobs_at
from flyte_ray.runtime.catalog import Catalog, Shape, pool_of
from flyte_ray.runtime.controller import Controller
from flyte_ray.runtime.deployed import CODE, DeployedTask
from flyte_ray.runtime.given_secrets import NOTHING_ASKED, Asked, given
from flyte_ray.runtime.interrupt import INTERRUPTED, CtrlC
from flyte_ray.runtime.output import capture_output
from flyte_ray.runtime.redaction import holding
from flyte_ray.runtime.slot import Slot
from flyte_ray.runtime.store_wait import StoreWait
from flyte_ray.runtime.user import current_user
from flyte_ray.runtime.variables import variables
from flyte_ray.spec.ids import ROOT_ACTION, RunId
from flyte_ray.spec.task import TaskSpec
from flyte_ray.storage import Store, witnessed
from flyte_ray.storage.patient import PatientStore
from flyte_ray.types.signing import Pickling

_log = logging.getLogger("flyte_ray.runtime")
LOCAL: Final = "local:"
"""Begins the names of holders that are the user's processes."""
LOCAL_SHAPE: Final = "local"
"""Shape of all tasks: threads are interchangeable."""
TICK_S: Final = 0.05
JOIN_S: Final = 2.0
"""How long a slot's thread may take to end; a thread in a C call cannot be stopped and is abandoned."""


@dataclass
class LocalPort:
    """Hands messages to the ledger in the same process."""

    ledger: Ledger
    lends: bool = False
    slot: Slot = field(init=False)

    def send(self, message: Message) -> None:
        """Exchange; the reply comes from whatever thread has something to say."""
        seq = message.seq
        self.ledger.exchange(message, lambda reply: self.slot.hear(reply, seq))

    def latest(self) -> object:
        """Never called: threads have no CPU to lend."""

    def park(self, ticket: object) -> None:
        """Never called either."""


class LocalLauncher:
    """Starts threads as slots; the first one is left to the calling thread."""

    def __init__(self, serve: Callable[[str, str, int], None]) -> None:
        """Start slots with `serve(name, shape, concurrency)`."""
        self._serve = serve
        self.first: queue.Queue[tuple[str, str, int] | None] = queue.Queue()
        self._taken = False
        self.threads: list[threading.Thread] = []
        self.given_up: list[str] = []

    def launch(
        self, slot: str, run: RunId, shape: str, options: str, pool: Pool | None = None, own: bool = False
    ) -> None:
        """Start a thread; one process is all the pools there are."""
        order = slot, shape, pool.concurrency if pool else 1
        if not self._taken:
            self._taken = True
            self.first.put(order)
            return
        thread = threading.Thread(target=self._serve, args=order, name=f"flyte-ray-{slot}", daemon=True)
        self.threads.append(thread)
        thread.start()

    def kill(self, slot: str) -> None:
        """A thread cannot be killed: it is given up, see `LocalRun`."""
        self.given_up.append(slot)

    recall = kill

    def retire(self, run: RunId) -> None:
        """No process is kept for a run."""

    def spare(self, names: frozenset[str]) -> None:
        """No process is kept."""

    def capacity(self, options: str) -> int:
        """One slot per CPU; an action that waits without lending gets another thread when the run does nothing else."""
        return max(2, os.cpu_count() or 2)

    def scarce(self, options: str) -> frozenset[str]:
        """A thread is always to be had."""
        return frozenset()

    def may_grow(self, options: str) -> bool:
        """A machine stays as it is."""
        return False


def shape_locally(task: TaskSpec) -> Shape:
    """Give all tasks one shape, but those that share a thread, and say once what one declares that needs a process."""
    if isinstance(task, DeployedTask):
        return Shape(LOCAL_SHAPE, json.dumps({CODE: task.code}), None, task.queue)
    environment = task.environment
    declared = {
        "image": environment.image not in (None, "auto"),
        "env_vars": bool(environment.env_vars),
        "memory": environment.resources is not None and environment.resources.memory is not None,
        "gpu": environment.resources is not None and environment.resources.gpu is not None,
    }
    ignored = ", ".join(name for name, given in declared.items() if given)
    if ignored and (task.name, ignored) not in _told:
        _told.add((task.name, ignored))
        _log.warning(
            "task %s runs without its %s: local mode does not act on it. Run it on Ray where that matters.",
            *(task.name, ignored),
        )
    pool = pool_of(environment)
    if pool is None or pool.concurrency == 1:
        return Shape(LOCAL_SHAPE, "{}", None, task.queue)  # this process is kept, and has main threads for everybody
    return Shape(f"{LOCAL_SHAPE}:{pool}", "{}", pool, task.queue)


_told: set[tuple[str, str]] = set()
_ledgers: dict[RunId, Ledger] = {}
_executed: dict[int | None, tuple[RunId, CtrlC]] = {}
"""By the thread that executes it: Ctrl-C reaches the main thread only."""


def interrupt_run(thread: threading.Thread) -> bool:
    """Have a run that another thread executes end as by Ctrl-C there; False if it executes none."""
    found = _executed.get(thread.ident)
    if found is not None:
        found[1].pressed = True
    return found is not None


def executed_by(thread: threading.Thread) -> RunId | None:
    """Return the run that a thread executes."""
    found = _executed.get(thread.ident)
    return found[0] if found else None


def local_ledger(run: RunId) -> Ledger | None:
    """Return the ledger of a run that this process executes at the moment."""
    return _ledgers.get(run)


class _RunEnded(Exception):
    """A slot waits for its store and is not needed any more."""


class LocalRun:
    """A run that this process executes."""

    def __init__(
        self, store: Store, run: RunId, pickling: Pickling, faults: Faults = NO_FAULTS, asked: Asked = NOTHING_ASKED
    ) -> None:
        """Prepare ledger and launcher."""
        self._asked = asked
        self._run = run
        self._catalog = Catalog(self._shape, pickling)
        self._queue: str | None = None
        self._store, self._pickling = store, pickling
        self._launcher = LocalLauncher(self._serve)
        # A second one in this process must not take itself for the first.
        self._holder = f"{LOCAL}{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:4]}"
        self.ledger = Ledger(store, self._launcher, self._holder, faults)
        self._ended: Ended | Exception | None = None
        self._slots: dict[str, tuple[Slot, threading.Thread]] = {}
        self._abandoned: list[threading.Thread] = []

    def start(
        self, task: TaskSpec, inputs: str, context: str | None, nonce: str, about: dict[str, Any], cache: str | None
    ) -> None:
        """Run a new run to its end."""
        self._queue = about.get("queue")
        with holding(self._asked.values):
            ref = self._catalog.know(task).ref
        start = Start(self._run, nonce, ref, inputs, context, cache, about)
        self._execute(lambda: self.ledger.start(start), about)

    def resume(
        self, spec: Mapping[str, Any], *, take_over: bool, revise: Callable[[Catalog], Revision] | None = None
    ) -> None:
        """Continue a recorded run to its end, with the tasks on record or, by a revision, with those of today."""
        self._queue = spec.get("queue")
        revision = revise(self._catalog) if revise else None
        self._execute(
            lambda: self.ledger.resume(self._run, {}, by_person=True, take_over=take_over, revision=revision), spec
        )

    def _shape(self, task: TaskSpec) -> Shape:
        shape = shape_locally(task)
        return shape._replace(queue=shape.queue or self._queue)

    def _execute(self, begin: Callable[[], None], spec: Mapping[str, Any]) -> None:
        with CtrlC() as ctrl_c, variables(spec.get("env_vars") or {}), given(*self._asked):
            try:
                begin()
                self.ledger.wait(self._run, self._end)
                self._serve_to_the_end(ctrl_c)
            finally:
                self.ledger.close()
        if ctrl_c.pressed:
            raise KeyboardInterrupt
        # One that the ledger does not know any more had ended before anybody waited: it was answered from the cache.
        if isinstance(self._ended, Exception) and not isinstance(self._ended, RunNotFoundError):
            raise self._ended

    def _serve_to_the_end(self, ctrl_c: CtrlC) -> None:
        stop = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(stop, ctrl_c), name="flyte-ray-tick", daemon=True)
        thread = threading.get_ident()
        outer = _executed.get(thread)  # of a run whose action has started this one
        _ledgers[self._run], _executed[thread] = self.ledger, (self._run, ctrl_c)
        ticker.start()
        try:
            with capture_output():
                self._serve_first()
        finally:
            stop.set()
            ticker.join()
            for slot in self._launcher.threads:
                if slot not in self._abandoned:
                    slot.join(JOIN_S)
            del _ledgers[self._run], _executed[thread]
            if outer is not None:
                _executed[thread] = outer

    def _serve_first(self) -> None:
        # A first slot that has nothing to do for a while says bye; the next one that is needed is again this thread.
        while True:
            found = self._launcher.first.get()
            if found is None:
                return
            self._serve(*found)
            self._launcher._taken = False

    def _end(self, how: Ended | Exception) -> None:
        self._ended = how
        self._launcher.first.put(None)

    def _tick(self, stop: threading.Event, ctrl_c: CtrlC) -> None:
        aborted = False
        while not stop.wait(TICK_S):
            try:
                self.ledger.tick()
                while self._launcher.given_up:
                    self._abandon(self._launcher.given_up.pop())
            except Exception:
                _log.exception("the ledger's clock met an error and goes on")
            if ctrl_c.pressed and not aborted:
                aborted = True
                self.ledger.abort(self._run, ROOT_ACTION, INTERRUPTED, current_user())

    def _abandon(self, name: str) -> None:
        slot, thread = self._slots.get(name, (None, None))
        if slot is None or thread is None or slot.active() is None:
            return  # it was not needed and ends by itself
        self._abandoned.append(thread)
        if thread is threading.main_thread():
            hint = "It is the one that called flyte.run, which returns when that code does"
        else:
            hint = "Its code goes on until it returns or the process ends"
        _log.warning(
            "run %s: thread %s does not stop and is abandoned. %s; on Ray its process would be ended.",
            *(self._run, thread.name, hint),
        )
        self.ledger.slot_ended(self._run, name, Loss("its thread was abandoned", ENDED))

    def _serve(self, name: str, shape: str, concurrency: int) -> None:
        wait = StoreWait(name, lambda reason: self.ledger.slot_waits(self._run, name, reason), self._go_on)
        store = PatientStore(witnessed(self._store, spec_key(self._run)), wait)
        try:
            spec = load_spec(store, self._run)
        except _RunEnded:
            return
        place, witness = data_place(self._run, spec), witness_of(spec)
        blobs = blobs_at(store, place, self._pickling, witness, near=True)
        controller = Controller(self._run, self._catalog, blobs, "local", spec)
        port = LocalPort(self.ledger)
        slot = Slot(name, self._run, shape, port, controller, {"pid": str(os.getpid())}, concurrency)
        port.slot = controller.slot = wait.slot = slot
        self._slots[name] = slot, threading.current_thread()
        with closing(blobs):
            slot.serve()

    def _go_on(self) -> None:
        if self._ended is not None:
            raise _RunEnded
