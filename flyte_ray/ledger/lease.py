"""Hold a run politely: `active/<run>` says who does, and a counter shows that it still does.

Invariants: a claim that is not ours is neither renewed nor removed; nobody's clock is compared with another's.
Safety does not rest on this: epochs in the log fence whoever writes by mistake. A lease only keeps two ledgers from
ending each other's work.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from flyte_ray.errors import ObjectMissing, RunFencedError, StoreError
from flyte_ray.ledger.origin import has_ended, is_near, own_process
from flyte_ray.ledger.paths import ACTIVE, lease_key
from flyte_ray.ledger.stillness import Stillness
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

RENEW_S: Final = 10.0
"""Time between two steps of the counter."""
STILL_S: Final = 30.0
"""A counter that stands still for this long belongs to a dead holder."""
KEEP_S: Final = 1.0
"""Time between two looks whether a counter is to be stepped."""
LOOK_S: Final = 1.0
"""Time between two looks of somebody who waits for the run."""
_log = logging.getLogger("flyte_ray.ledger")


class Claim(NamedTuple):
    """What `active/<run>` says of who holds a run."""

    holder: str
    host: str
    pid: int
    counter: int
    at: float
    """By the holder's clock, in seconds since the epoch: for people only."""
    process: str = ""
    """See `own_process`."""
    token: str = ""
    """Made when the run was claimed: two claims of one holder differ."""

    @property
    def mark(self) -> tuple[str, str, int]:
        """What changes as long as the holder lives."""
        return self.holder, self.token, self.counter

    @property
    def is_over(self) -> bool:
        """Whether the holder's process has ended for certain."""
        return has_ended(self.process, self.pid)

    @property
    def is_near(self) -> bool:
        """Whether the holder's process belongs to this machine, so that `is_over` tells for certain."""
        return is_near(self.process)


def read_claim(store: Store, run: RunId) -> Claim | None:
    """Return who holds a run; None if nobody does."""
    try:
        found: dict[str, Any] = json.loads(store.get(lease_key(run)))
        return Claim(**{name: found[name] for name in Claim._fields if name in found})
    except (ObjectMissing, ValueError, TypeError):
        return None


def read_claims(store: Store, but: Container[RunId] = (), most: int | None = None) -> dict[RunId, Claim]:
    """Return who holds the runs of a root, without some of them, and at most so many."""
    runs = [run for key in store.keys(ACTIVE) if (run := RunId(key.rpartition("/")[2])) not in but]
    return {run: claim for run in runs[:most] if (claim := read_claim(store, run))}


def drop_claim(store: Store, run: RunId) -> None:
    """Remove the claim on a run that has ended: its holder may have ended before it could."""
    store.delete([lease_key(run)])


def refuse_living(
    store: Store,
    run: RunId,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """See whether a run's holder lives, for a little longer than its counter takes to step; a dead one costs no time.

    Raises:
        RunFencedError: It does.

    """
    first = now = read_claim(store, run)
    until = clock() + RENEW_S + 2 * KEEP_S
    while now and first and not now.is_over:
        if now.mark != first.mark:
            raise _refusal(run, now)
        if clock() >= until:
            return
        sleep(LOOK_S)
        now = read_claim(store, run)


class Lease:
    """One holder's claim on one run."""

    def __init__(self, store: Store, run: RunId, holder: str) -> None:
        """Prepare; `take` claims the run.

        Args:
            store: The root.
            run: The run.
            holder: Stays the same when the holder's process is started again.

        """
        self._store, self._run, self._holder = store, run, holder
        self._token = uuid.uuid4().hex
        self._counter = 0
        self._renewed = 0.0
        self._writing = threading.Lock()
        self._released = False

    def take(
        self,
        *,
        force: bool = False,
        seen: Claim | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Claim the run, after a dead holder at once, after a silent one when it has been silent for `STILL_S`.

        Args:
            force: Whoever holds it, and at once.
            seen: A claim that the caller has seen to stand still for so long already.
            clock: Seconds that never go back.
            sleep: Waits for some seconds.

        Raises:
            RunFencedError: Another ledger holds the run and is alive.

        """
        there = read_claim(self._store, self._run)
        if there and not force and not (seen and seen.mark == there.mark):
            self._await_silence(there, Stillness(clock), sleep)
        self._write()
        if not force:
            # Of two that take it at the same time, the one whose claim was replaced gives way.
            now = read_claim(self._store, self._run)
            if now and now.token != self._token:
                raise _refusal(self._run, now)

    @property
    def is_due(self) -> bool:
        """Whether it is time to step the counter."""
        return time.monotonic() - self._renewed > RENEW_S

    def renew(self, holds: Callable[[], bool]) -> None:
        """Step the counter if it is time; a store that does not answer is asked again later.

        Args:
            holds: Asked where the claim is not ours any more: whether the run's log is.

        """
        if not self.is_due:
            return
        try:
            with self._writing:
                if self._released:
                    return
                there = read_claim(self._store, self._run)
                if (there and there.token == self._token) or holds():
                    self._write()
        except (StoreError, OSError) as error:
            _log.warning("the lease of run %s could not be renewed: %s", self._run, error)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Step the counter meanwhile: to read a long log takes longer than a claim may stand still."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(KEEP_S):
                self.renew(lambda: False)

        thread = threading.Thread(target=keep, name=f"flyte-ray-lease-{self._run}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()  # a thread that hangs with its store is not waited for

    def release(self) -> None:
        """Give the run up; nothing is renewed after that."""
        with self._writing:
            self._released = True
            there = read_claim(self._store, self._run)
            if there and there.token == self._token:
                self._store.delete([lease_key(self._run)])

    def _await_silence(self, there: Claim, stillness: Stillness, sleep: Callable[[float], None]) -> None:
        now: Claim | None = there
        # The same holder: the process of this ledger before it was started again.
        while now and not (now.holder == self._holder or now.is_over):
            if now.mark != there.mark:
                raise _refusal(self._run, now)
            if stillness.look(self._run, now.mark) >= STILL_S:
                return
            sleep(LOOK_S)
            now = read_claim(self._store, self._run)

    def _write(self) -> None:
        self._counter += 1
        self._renewed = time.monotonic()
        claim = Claim(
            self._holder, socket.gethostname(), os.getpid(), self._counter, time.time(), own_process(), self._token
        )
        self._store.put(lease_key(self._run), json.dumps(claim._asdict()).encode())


def _refusal(run: RunId, there: Claim) -> RunFencedError:
    return RunFencedError(
        f"Run {run!r} is held by {there.holder} (process {there.pid} on {there.host}), which is alive. Follow or abort"
        f" it there, on a cluster with --address, or have it go on here: 'flyte-ray resume --take-over {run}'."
    )
