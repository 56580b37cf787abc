"""Hold runs open: one run with all that belongs to it, and the thread that keeps all of them claimed.

Invariant: a store that does not answer keeps nobody waiting but this thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from flyte_ray.errors import StoreError
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.lease import Lease
from flyte_ray.ledger.reception import Reception
from flyte_ray.ledger.requests import Ended
from flyte_ray.ledger.snapshot import write_snapshot
from flyte_ray.ledger.standstill import Standstill
from flyte_ray.storage import Store
from flyte_ray.storage.patient import Patience

FINISH_S: Final = 60.0
"""How long a run that has ended waits for a store that does not take its end."""
KEEP_S: Final = 1.0
"""Time between two looks whether a counter is to be stepped."""
_log = logging.getLogger("flyte_ray.ledger")

Waiter = Callable[[Ended | Exception], None]


@dataclass
class HeldRun:
    """A run that this ledger holds."""

    book: RunBook
    lease: Lease
    reception: Reception
    watch: Standstill
    waiters: list[Waiter] = field(default_factory=list)
    """Called when the run has ended."""

    def keep(self) -> None:
        """Renew the claim, or find out that another ledger continues the run."""
        self.lease.renew(self.book.recorder.check)

    def let_go(self) -> None:
        """Store what is left, whatever the run's phase, and give it up."""
        self.book.recorder.close()
        try:
            self.lease.release()
        except StoreError as error:
            _log.warning("run %s stays claimed, until others see that nobody holds it: %s", self.book.state.id, error)

    def finish(self, store: Store, how: Ended | Exception) -> None:
        """Tell those who wait how the run has ended, and close its record."""
        for waiter in self.waiters:
            waiter(how)
        book = self.book
        patience = Patience(f"run {book.state.id}")
        patience.limit(FINISH_S)
        try:
            book.recorder.close()
            # Before the snapshot: what has ended is not to be taken for cut off.
            patience.ask(self.lease.release)
            if not book.recorder.fenced:
                patience.ask(lambda: write_snapshot(store, book.state, book.recorder.position))
        except Exception:
            # The run's record is whole without its snapshot; readers fold the segments.
            _log.exception("run %s has ended, but its snapshot could not be written", book.state.id)


class Keeper:
    """Keeps runs claimed, on a thread that starts with the first of them."""

    def __init__(self, held: Callable[[], Iterable[HeldRun]]) -> None:
        """Keep what `held` returns."""
        self._held = held
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if it has not; call under the ledger's lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="flyte-ray-lease", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread when what it does is done."""
        self._closed.set()

    def _keep(self) -> None:
        while not self._closed.wait(KEEP_S):
            for held in self._held():
                try:
                    held.keep()
                except Exception:
                    _log.exception("run %s could not be kept claimed; that is tried again", held.book.state.id)
