"""Open a run for writing: claim it, read its log, and get it going from where it stands.

Invariant: a run that was put on record can be begun from its specification, also when nothing else of it was stored.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Final

from flyte_ray.errors import RunNotFoundError, StoreError
from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.lease import Claim, Lease
from flyte_ray.ledger.listing import list_run
from flyte_ray.ledger.log import RunLog
from flyte_ray.ledger.paths import spec_key
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.recorder import RunRecorder
from flyte_ray.ledger.recovering import find_gone, load_outcomes
from flyte_ray.ledger.recovery import recover
from flyte_ray.ledger.requests import Start, read_start
from flyte_ray.ledger.revision import Revision
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, witnessed
from flyte_ray.storage.patient import Patience

_log: Final = logging.getLogger("flyte_ray.ledger")


class Opener:
    """Opens runs on behalf of one ledger."""

    def __init__(self, store: Store, holder: str, lock: AbstractContextManager[object]) -> None:
        """Open runs of a store as `holder`; `lock` guards what is known of them."""
        self._store, self._holder, self._lock = store, holder, lock

    def open(
        self, run: RunId, on_stored: Callable[[], None], *, take_over: bool, seen: Claim | None
    ) -> tuple[Lease, RunRecorder, dict[str, Any]]:
        """Claim a run and read its log.

        Args:
            run: Its name.
            on_stored: Called whenever something was stored.
            take_over: Do not wait for the lease of another holder.
            seen: Another holder's claim that was seen to stand still for long enough.

        Returns:
            The claim, the recorder, and the run's specification.

        """
        spec = load_spec(self._store, run)
        lease = Lease(self._store, run, self._holder)
        log = RunLog(witnessed(self._store, spec_key(run)), run, uuid.uuid4().hex)
        log.patience.ask(lambda: lease.take(force=take_over, seen=seen))
        try:
            with lease.kept():
                return lease, RunRecorder(run, log, self._holder, on_stored), spec
        except BaseException:
            with contextlib.suppress(StoreError):
                lease.release()
            raise

    def go_on(
        self,
        book: RunBook,
        *,
        spec: Mapping[str, Any],
        start: Start | None = None,
        alive: Mapping[str, str] = MappingProxyType({}),
        by_person: bool = False,
        revision: Revision | None = None,
    ) -> None:
        """Continue a run, or begin it if it is new or was cut off before its first segment.

        Args:
            book: The run, just opened.
            spec: Its specification.
            start: What starts it; read from `spec` where it is not given.
            alive: Shapes of its slots that live, by id.
            by_person: Failures are tried again.
            revision: The code to continue it with, if that has changed.

        Raises:
            RunNotFoundError: It cannot be begun from what an earlier version put on record.

        """
        run = book.state.id
        # Before anything is handed out.
        patience = Patience(f"run {run}")
        book.outcomes = patience.ask(lambda: load_outcomes(self._store, spec))
        if book.state.actions:
            gone = patience.ask(lambda: find_gone(self._store, spec, book.state, revision)) if by_person else ()
            if gone:
                _log.warning("run %s: outputs of %d actions are gone from the store; they run again", run, len(gone))
            with self._lock:
                recover(book, alive, resumed=by_person, revision=revision, gone=gone)
            return
        start = start or read_start(run, spec)
        if start is None:
            raise RunNotFoundError(f"Run {run!r} was cut off before it began. Start it again under another name.")
        list_run(self._store, run, spec)
        with self._lock:
            book.start(start.task, start.inputs, start.context, start.cache)
