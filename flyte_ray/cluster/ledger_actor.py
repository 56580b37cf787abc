"""Run the ledger's core as a Ray actor: messages in and out, the cluster's capacity, recovery after a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import ray
from ray.exceptions import RayActorError

from flyte_ray.cluster.app_ledger import AppLedger
from flyte_ray.cluster.bootstrap import make_launcher
from flyte_ray.cluster.collector import spare_collector
from flyte_ray.cluster.launching import RayLauncher
from flyte_ray.cluster.lent_secrets import secrets_for
from flyte_ray.cluster.orders import SlotDeath, SlotOrder
from flyte_ray.cluster.package import own_digest, own_version
from flyte_ray.cluster.trigger_ledger import TriggerLedger
from flyte_ray.errors import StoreError
from flyte_ray.ledger.adoption import Adoption
from flyte_ray.ledger.lease import read_claims
from flyte_ray.ledger.losses import SETUP
from flyte_ray.ledger.messages import Reply
from flyte_ray.ledger.paths import spec_key
from flyte_ray.ledger.requests import Ended, Start
from flyte_ray.ledger.revision import Revision
from flyte_ray.ledger.service import Ledger
from flyte_ray.ledger.side_by_side import SideBySide
from flyte_ray.ledger.summary import not_read
from flyte_ray.ledger.wire import dump_reply, load_message
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from flyte_ray.storage.patient import Patience
from flyte_ray.storage.providers import Options
from flyte_ray.types.signing import Pickling

TICK_S: Final = 0.05
NODES_S: Final = 1.0
"""Age at which the list of nodes is asked for again."""
HOPELESS_S: Final = 3.0
"""How long no node may fit a shape before its actions fail."""
FIRST_LOOK_S: Final = 5.0
"""Age at which runs that were cut off are looked for: who made this ledger to continue one has a say before that."""
LOOK_S: Final = 5.0
"""Time between two such looks."""
AGAIN_S: Final = 0.5
"""Pause before a launcher that did not answer is asked again."""
DYING_S: Final = 5.0
"""How long a ledger that gives way to another version keeps those waiting who start a run."""
_log = logging.getLogger("flyte_ray.ledger")


class LedgerActor:
    """The actor; its methods only carry what `ledger/service.py` decides."""

    def __init__(self, root: str, storage: Options, launcher: str, holder: str, lasting: bool = False) -> None:
        """Serve a root.

        Args:
            root: Its URI.
            storage: fsspec arguments by protocol; never recorded.
            launcher: Name of the launcher actor.
            holder: Stays the same when this actor is restarted.
            lasting: It outlives who made it, and continues what others leave in the root.

        """
        self._store = open_store(root, storage)
        self._holder = holder
        self._launcher = RayLauncher(launcher, lambda: make_launcher(root, storage, lasting=True))
        self._ledger = Ledger(self._store, self._launcher, holder)
        self._apps = AppLedger(self._store)
        self._triggers = TriggerLedger(self._store, self._ledger, lambda: self._launcher.keys)
        self._gives_way = False
        self._starting = 0
        self._adopting = False
        self._hopeless: dict[tuple[RunId, str], float] = {}
        self._patience = Patience("the ledger")
        self._opening = SideBySide()
        self._waits: dict[RunId, Patience] = {}
        """Of the runs that are opened again after a restart."""
        self._ready = threading.Event()
        """It is known which runs these are."""
        spare_collector()
        threading.Thread(target=self._keep_going, name="flyte-ray-tick", daemon=True).start()
        if lasting:
            threading.Thread(target=self._adopt, name="flyte-ray-adopt", daemon=True).start()
            threading.Thread(target=self._apps.restore, name="flyte-ray-apps", daemon=True).start()
            threading.Thread(target=self._fire, name="flyte-ray-triggers", daemon=True).start()

    async def ping(self) -> str:
        """Answer when it is known which runs were held before a restart."""
        await self._recovered()
        return self._holder

    async def process(self) -> int:
        """Return the id of this process."""
        return os.getpid()

    async def place(self) -> tuple[str, str]:
        """Return the id and the address of this actor's node."""
        return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()

    async def serves(self, package: str) -> str:
        """Compare this package with a client's, by its digest.

        Returns:
            Empty if they are the same; `idle` if they differ and no run is held, upon which this actor takes no run
            any more and waits to be killed; else the version that this actor and its slots run.

        """
        await self._recovered()
        if package == own_digest():
            return ""
        self._gives_way = self._gives_way or not (self._is_starting() or self._opening.runs or self._ledger.runs)
        return "idle" if self._gives_way else own_version()

    def _is_starting(self) -> bool:
        return bool(self._starting or self._adopting or self._triggers.is_starting)

    async def exchange(self, message: bytes) -> bytes:
        """Carry one exchange."""
        heard = load_message(message)
        await self._recovered(RunId(heard.run))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._ledger.exchange(heard, lambda reply: _fulfil(loop, future, reply))
        del heard, message  # hundreds may wait for their reply, each as large as thousands of results
        return dump_reply(await future)

    async def take_key(self, pickling: Pickling) -> None:
        """Keep the key of a client, who is about to start or to continue a run; in memory alone."""
        await self._recovered()
        await asyncio.to_thread(self._launcher.take_key, pickling)

    async def pickling(self, key: str | None) -> Pickling:
        """Return how slots pickle in a run whose start names this key; without its secret if nobody has brought that.

        A run of a version that did not sign names none: it goes on with the key of the last who brought one.
        """
        await self._recovered()
        known = self._launcher.keys
        found = known.get(key) if key else next(reversed(known.values()), None)
        return found or Pickling(lacks=_lacks(key))

    async def take_secrets(self, of: str, values: dict[str, bytes]) -> None:
        """Keep the secrets of a run that a client is about to start or to continue; in memory alone."""
        await self._recovered()
        await asyncio.to_thread(self._launcher.take_secrets, of, values)

    async def secrets(self, of: str, wanted: str) -> dict[str, bytes]:
        """Return the secrets that a slot's environment asks for, see `lent_secrets.py`."""
        await self._recovered()
        lent = await asyncio.to_thread(self._launcher.secrets, of)
        return await asyncio.to_thread(secrets_for, self._store, lent, wanted)

    async def sees(self, run: RunId) -> bool:
        """Whether this node sees the start of a run in the root at the moment."""
        try:
            return await asyncio.to_thread(self._store.exists, spec_key(run))
        except StoreError:
            return False

    async def slot_waits(self, run: RunId, slot: str, reason: str) -> None:
        """Take note why a slot that has not attached yet waits for the store; empty if it does not any more."""
        self._ledger.slot_waits(run, slot, reason)

    async def slot_ended(self, death: SlotDeath) -> None:
        """Take note that a slot is gone."""
        await self._recovered(RunId(death.run))
        if death.hopeless:
            code = "ImageBuildError" if death.loss.cause == SETUP else "SlotStartError"
            self._ledger.fail_queued(RunId(death.run), death.shape, death.loss.reason, code)
        self._ledger.slot_ended(RunId(death.run), death.slot, death.loss)

    async def start(self, start: Start) -> None:
        """Start a run; returns when its start is stored."""
        await self._take(start.run, self._ledger.start, start)

    async def resume(self, run: RunId, take_over: bool, revision: Revision | None) -> None:
        """Continue a run that was cut off or failed, with other code if there is a revision."""
        await self._take(run, self._ledger.resume, run, {}, by_person=True, take_over=take_over, revision=revision)

    async def _take(self, run: RunId, begin: Callable[..., None], *args: Any, **options: Any) -> None:
        await self._recovered(run)
        if self._gives_way:
            await asyncio.sleep(DYING_S)  # the client finds the next ledger when this one is gone
            self._gives_way = False  # who should have ended it is gone
        self._starting += 1
        try:
            await asyncio.to_thread(begin, *args, **options)
        finally:
            self._starting -= 1

    async def wait(self, run: RunId) -> Ended:
        """Return when a run has ended; raises `RunNotFoundError` if it is not active here."""
        await self._recovered(run)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Ended | Exception] = loop.create_future()
        self._ledger.wait(run, lambda how: _fulfil(loop, future, how))
        how = await future
        if isinstance(how, Exception):
            raise how
        return how

    async def abort(self, run: RunId, action: str, reason: str, by: str) -> bool:
        """Abort an action and all below it, on behalf of `by`; returns when that is stored."""
        await self._recovered(run)
        if not self._ledger.abort(run, action, reason, by):
            return False
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Exception | None] = loop.create_future()
        self._ledger.when_stored(run, lambda error: _fulfil(loop, future, error))
        error = await future
        if error is not None:
            raise error
        return True

    async def nudge(self, run: RunId) -> None:
        """Look for signals of an active run."""
        self._ledger.nudge(run)

    async def look(self, run: RunId) -> dict[str, Any] | None:
        """Summarize an active run."""
        if not self._is_open(run):
            waits = self._waits.get(run, self._patience)
            if waits.reason:
                return not_read(waits.reason)
        await self._recovered(run)
        live = self._ledger.look(run)
        if live is not None:
            live["waits"] = [self._launcher.wanted(options) for options in live["waits"]]
        return live

    async def apply_app(self, name: str) -> str:
        """Make true what is on record of an app; return its URL, empty if it is not served."""
        return await self._apps.apply(name)

    async def app_states(self) -> dict[str, dict[str, Any]]:
        """Say how the apps of this root are."""
        return await self._apps.states()

    async def app_logs(self, name: str, lines: int) -> list[dict[str, Any]]:
        """Read the ends of what the replicas of an app printed."""
        return await self._apps.logs(name, lines)

    async def _recovered(self, run: RunId | None = None) -> None:
        """Wait until it is known which runs were held before a restart, and a run is open again if it is one."""
        while not self._is_open(run):
            await asyncio.sleep(0.01)

    def _is_open(self, run: RunId | None) -> bool:
        return self._ready.is_set() and run not in self._waits

    def _keep_going(self) -> None:
        self._recover()
        self._ready.set()
        asked = 0.0
        while True:
            time.sleep(TICK_S)
            try:
                self._watch_launcher()
                if self._ledger.starts_slots:
                    self._launcher.look_for_room()
                self._ledger.tick()
                if time.monotonic() - asked > NODES_S:
                    asked = time.monotonic()
                    self._launcher.refresh()
                    self._fail_hopeless()
            except Exception:
                _log.exception("the ledger's clock met an error and goes on")

    def _recover(self) -> None:
        alive = self._first_alive()
        own = self._patience.ask(lambda: self._own_runs(alive))
        self._waits = {run: Patience(f"run {run}") for run in own}
        for run in own:
            self._opening.begin(run, partial(self._reopen, run, _slots_of(run, alive)))

    def _reopen(self, run: RunId, alive: dict[str, str]) -> None:
        try:
            self._waits[run].ask(partial(self._ledger.resume, run, alive, by_person=False))
        except Exception:
            _log.exception("run %s could not be continued after a restart of the ledger", run)
        finally:
            del self._waits[run]

    def _own_runs(self, alive: Sequence[SlotOrder]) -> list[RunId]:
        if alive and not any(self._store.exists(spec_key(RunId(order.run))) for order in alive):
            # A folder whose disk was unmounted looks empty; to believe it would send the slots away.
            raise StoreError(
                f"{self._store.uri} should hold a run whose slots live, but does not. Is its disk mounted?"
            )
        return [run for run, claim in read_claims(self._store).items() if claim.holder == self._holder]

    def _adopt(self) -> None:
        self._ready.wait()
        adoption = Adoption(
            self._store,
            self._ledger,
            alive=lambda run: _slots_of(run, self._launcher.alive()),
            hopeless=self._launcher.hopeless,
            lacks=lambda key: "" if key in self._launcher.keys else _lacks(key),
            opening=self._opening,
        )
        pause_s = FIRST_LOOK_S
        while True:
            time.sleep(pause_s)
            pause_s = LOOK_S
            if self._gives_way:
                continue
            self._adopting = True
            try:
                adoption.look()
            except StoreError as error:  # it may be away for hours, and is asked every few seconds
                _log.warning("runs that were cut off could not be looked for, which is tried again: %s", error)
            except Exception:
                _log.exception("runs that were cut off could not be looked for; that is tried again")
            self._adopting = False

    def _fire(self) -> None:
        self._ready.wait()
        self._triggers.keep_firing(lambda: not self._gives_way)

    def _first_alive(self) -> list[SlotOrder]:
        while True:
            try:
                self._launcher.find()
                return self._launcher.alive()
            except RayActorError as error:  # it died with the ledger before this one, or just now
                _log.warning("the launcher is gone: %s", error)
                time.sleep(AGAIN_S)

    def _watch_launcher(self) -> None:
        if self._launcher.has_ended():
            _log.warning("the launcher is gone, and with it all slots: what they ran is queued again")
            self._ledger.launcher_ended()
        if self._launcher.is_missing and not self._gives_way:
            self._launcher.find()

    def _fail_hopeless(self) -> None:
        waiting = self._ledger.waiting_shapes()
        since = {(run, shape): self._hopeless.get((run, shape), time.monotonic()) for run, shape, _ in waiting}
        self._hopeless = {}
        for run, shape, options in waiting:
            reason = self._launcher.hopeless(options)
            if reason:
                self._hopeless[run, shape] = since[run, shape]
                if time.monotonic() - since[run, shape] > HOPELESS_S:
                    self._ledger.fail_queued(run, shape, reason)


def _lacks(key: str | None) -> str:
    return f"lacks key {key} of the run's starter, who brings it with 'flyte-ray resume'" if key else "has no key"


def _slots_of(run: RunId, alive: list[SlotOrder]) -> dict[str, str]:
    return {order.slot: order.shape for order in alive if order.run == run}


def _fulfil(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], value: Any) -> None:
    def fulfil() -> None:
        if not future.done():
            future.set_result(value)

    loop.call_soon_threadsafe(fulfil)
