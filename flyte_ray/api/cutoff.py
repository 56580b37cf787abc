"""Name runs that were cut off: a process that runs something of its own leaves them alone and says how they go on."""

from __future__ import annotations

import time
from typing import Final

from flyte_ray.api.settings import again, system_logger
from flyte_ray.errors import StoreError
from flyte_ray.ledger.cutoff import ago, list_cut_off
from flyte_ray.ledger.lease import STILL_S, read_claim, refuse_living
from flyte_ray.ledger.stillness import Stillness
from flyte_ray.runtime.local import LOCAL
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store
from flyte_ray.storage.patient import Patience

NAMED: Final = 3
"""Most runs that are named one by one."""
LOOK_S: Final = 5.0
"""Time between two looks of somebody who waits for a run."""
_told: set[tuple[str, RunId]] = set()
"""Roots and runs that this process has named."""


def name_cut_off(store: Store, own: RunId) -> None:
    """Say once which runs of a root were cut off, but for the one that this process is about to run."""
    try:
        found = [(run, hold) for run, hold in list_cut_off(store).items() if run != own]
    except StoreError as error:
        system_logger.debug("the claims on runs could not be read: %s", error)  # the run itself will say so
        return
    news = [(run, hold) for run, hold in found if (store.uri, run) not in _told]
    _told.update((store.uri, run) for run, _ in news)
    for run, hold in news[:NAMED]:
        system_logger.warning("Run %s was cut off %s. Continue it: %s", run, ago(hold.seen_s), again("resume", run))
    if len(news) > NAMED:
        system_logger.warning("%d more runs were cut off: %s", len(news) - NAMED, again("get run"))


def announce_wait(store: Store, run: RunId) -> None:
    """Say why a run is not continued at once, where another ledger has claimed it."""
    claim = read_claim(store, run)
    if claim and not claim.is_over:
        system_logger.warning(
            "Run %s is held by %s on %s. It goes on here if that is silent for %.0f s; --take-over does not wait.",
            *(run, claim.holder, claim.host, STILL_S),
        )


def await_turn(store: Store, run: RunId) -> None:
    """Look at who holds a run before anything is started for it that costs; see `announce_wait`.

    Raises:
        RunFencedError: Its holder is seen to live.

    """
    announce_wait(store, run)
    Patience(f"run {run}").ask(lambda: refuse_living(store, run))


def out_of_reach(store: Store, run: RunId) -> str:
    """Say why nothing can be asked of a run's ledger from here, and what to do about it."""
    claim = read_claim(store, run)
    if claim is None or claim.is_over:
        return f"Run {run!r} was cut off, and nothing of it runs. '{again('resume', run)}' continues it."
    if claim.holder.startswith(LOCAL):
        return (
            f"Run {run!r} is executed by process {claim.pid} on {claim.host}, in local mode, which no other process"
            f" reaches. Press Ctrl-C there, or on that machine: kill -INT {claim.pid}"
        )
    return (
        f"Run {run!r} is held by {claim.holder} on {claim.host}, a ledger that this process is not connected to."
        f" Connect to its cluster with --address, or press Ctrl-C where it was started."
    )


class Lookout:
    """Looks, on behalf of somebody who waits for a run that no ledger here holds, whether anybody holds it."""

    def __init__(self, store: Store, run: RunId) -> None:
        """Begin to look."""
        self._store, self._run = store, run
        self._watch = Stillness(time.monotonic)
        self._next = 0.0
        self._is_told = False

    def look(self) -> None:
        """Say once that the run was cut off, when its counter was seen to stand still."""
        now = time.monotonic()
        if self._is_told or now < self._next:
            return
        self._next = now + LOOK_S
        try:
            claim = read_claim(self._store, self._run)
        except StoreError:
            return  # who waits asks the store for the run, too, and says that it is away
        still_s = self._watch.look(self._run, claim and claim.mark)
        if still_s >= STILL_S or (claim and claim.is_over):
            self._is_told = True
            by = f" by {claim.holder}" if claim else ""
            system_logger.warning(
                "Run %s is not held%s any more, and this process waits for it. Continue it: %s",
                *(self._run, by, again("resume", self._run)),
            )
