"""Hold a run politely: `active/<run>` says who does, and a counter shows that it still does.

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
from collections.abc import Callable
from typing import Any, Final

from flyte_ray.errors import ObjectMissing, RunFencedError, StoreError
from flyte_ray.ledger.paths import lease_key
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

RENEW_S: Final = 10.0
"""Time between two steps of the counter."""
STILL_S: Final = 30.0
"""A counter that stands still for this long belongs to a dead holder."""
_log = logging.getLogger("flyte_ray.ledger")


def read_lease(store: Store, run: RunId) -> dict[str, Any] | None:
    """Return holder, host, pid, counter and the holder's clock (`at`, seconds); None if nobody holds the run."""
    try:
        found: dict[str, Any] = json.loads(store.get(lease_key(run)))
    except (ObjectMissing, ValueError):
        return None
    return found


class Lease:
    """One holder's claim on one run."""

    def __init__(self, store: Store, run: RunId, holder: str) -> None:
        """Prepare; `take` claims the run.

        Args:
            store: The root.
            run: The run.
            holder: Stays the same when the holder's process is started again.

        """
        self._store = store
        self._run = run
        self._holder = holder
        self._counter = 0
        self._renewed = 0.0
        self._writing = threading.Lock()
        self._released = False

    def take(
        self, *, force: bool, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Claim the run, after a dead holder at once, after a silent one when it has been silent for `STILL_S`.

        Raises:
            RunFencedError: Another ledger holds the run and is alive.

        """
        there = read_lease(self._store, self._run)
        if there and not force and not self._is_gone(there):
            _log.warning("run %s is held by %s: waiting whether it still lives", self._run, there["holder"])
            until = clock() + STILL_S
            while clock() < until:
                sleep(1.0)
                now = read_lease(self._store, self._run)
                if now and (now["holder"], now["counter"]) != (there["holder"], there["counter"]):
                    raise RunFencedError(
                        f"Run {self._run!r} is held by {now['holder']} (process {now['pid']} on {now['host']}), which"
                        f" is alive. Follow or abort it there, with --address of its cluster, or continue it here with"
                        f" 'flyte-ray resume --take-over'."
                    )
                if now is None:
                    break
        self._write()

    def renew(self) -> None:
        """Step the counter if it is time; a store that does not answer is asked again later."""
        if time.monotonic() - self._renewed > RENEW_S:
            try:
                with self._writing:
                    if not self._released:
                        self._write()
            except StoreError as error:
                _log.warning("the lease of run %s could not be renewed: %s", self._run, error)

    def release(self) -> None:
        """Give the run up; nothing is renewed after that."""
        with self._writing:
            self._released = True
            self._store.delete([lease_key(self._run)])

    def _is_gone(self, there: dict[str, Any]) -> bool:
        if there["holder"] == self._holder:
            return True
        if there["host"] != socket.gethostname():
            return False
        try:
            os.kill(there["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return bool(there["pid"] == os.getpid())

    def _write(self) -> None:
        self._counter += 1
        self._renewed = time.monotonic()
        body = {
            "holder": self._holder,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "counter": self._counter,
            "at": time.time(),
        }
        self._store.put(lease_key(self._run), json.dumps(body).encode())
