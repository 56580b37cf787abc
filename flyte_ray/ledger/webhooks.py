"""Call webhooks: POST what waits for a person to whom it may concern, until that has worked.

A call that worked is marked in the store, so that a ledger that restarts does not repeat it; if it ends between the
two, the webhook is called twice. Nothing here ends a run or keeps one waiting.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from flyte_ray.spec.condition import ConditionWebhook
from flyte_ray.storage import Store

THREADS: Final = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Pauses between calls that fail: doubled from the first to the longest."""
_log = logging.getLogger("flyte_ray.ledger")


class Webhooks:
    """Calls webhooks on threads of its own; safe to use from many threads."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; threads start with the first call.

        Args:
            store: Holds the marks.
            clock: Seconds; says when a call that failed is due again.

        """
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._due: dict[str, float] = {}
        """When a call is to be made, by its mark; infinite where it is being made, or has worked."""
        self._pauses: dict[str, float] = {}

    def call(self, mark: str, prepare: Callable[[], ConditionWebhook]) -> None:
        """Have a webhook called if that is due and has not worked yet; call again and again while it matters.

        Args:
            mark: Key of the object that says that it has worked.
            prepare: Says what is called with which payload; asked on a thread of this object when the call is due.

        """
        with self._lock:
            if self._due.get(mark, 0.0) > self._clock():
                return
            self._due[mark] = float("inf")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, "flyte-ray-webhook")
            self._pool.submit(self._try, mark, prepare)

    def forget(self, prefix: str) -> None:
        """Forget calls that matter no more, by the beginning of their marks' keys."""
        with self._lock:
            for kept in (self._due, self._pauses):
                for mark in [mark for mark in kept if mark.startswith(f"{prefix}/")]:
                    del kept[mark]

    def close(self) -> None:
        """Make no more calls."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _try(self, mark: str, prepare: Callable[[], ConditionWebhook]) -> None:
        from flyte_ray.ledger import delivery, notices  # see Notifier

        try:
            if not self._store.exists(mark):
                webhook = prepare()
                body = json.dumps(webhook.payload).encode()
                delivery.send(notices.Request(webhook.url, "POST", {"Content-Type": "application/json"}, body))
                self._store.put(mark, b"{}")
        except Exception as error:  # the server's failure, the network's or the store's: the same to who waits
            with self._lock:
                pause = self._pauses[mark] = min(self._pauses.get(mark, FIRST_PAUSE_S / 2) * 2, LONGEST_PAUSE_S)
                self._due[mark] = self._clock() + pause
            # Not the URL: often it alone is the right to post there.
            _log.warning("a webhook of %s failed and is called again in %g s: %s", mark, pause, error)
