"""Tell how runs ended: each notification once, when the end is stored, and again and again until it is taken.

A mark in the store says that one was sent, so that a ledger which comes upon the end again does not repeat it; one that
dies between sending and marking has it sent twice. Nothing here fails a run, or keeps one waiting beyond `PROMPT_S`.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from flyte_ray.ledger.paths import notified_key
from flyte_ray.ledger.requests import Ended
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.notification import load_notification
from flyte_ray.storage import Store

if TYPE_CHECKING:
    from flyte_ray.ledger.notices import Mail, Request

PROMPT_S: Final = 10.0
"""How long the end of a run is kept back until its notifications are sent: who waits for it may end the process."""
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0)
"""Pauses before a notification that was not taken is sent again; after the last one it is given up."""
_log = logging.getLogger("flyte_ray.ledger")


class Notifier:
    """Sends the notifications of one root's runs, on a thread each."""

    def __init__(
        self,
        store: Store,
        now_us: Callable[[], int],
        send: Callable[[Request | Mail], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            store: Holds the marks.
            now_us: The clock.
            send: Sends; raises `Refused` where that is final, anything else where it may be tried again. Default:
                `delivery.send`.

        """
        self._store, self._now_us, self._send = store, now_us, send
        self._closed = threading.Event()

    def tell(self, run: RunId, notices: Sequence[Mapping[str, Any]], ended: Ended, number: int) -> None:
        """Send what a run's end calls for; returns when that is done, after `PROMPT_S` in any case.

        Args:
            run: The run.
            notices: What was declared for it, as recorded.
            ended: How it ended; stored.
            number: Tells this end from earlier ones of the run, which was continued since.

        """
        threads = []
        for place, recorded in enumerate(notices):
            if ended.phase in recorded["on_phase"]:
                args = (notified_key(run, number, place), recorded, run, ended)
                threads.append(threading.Thread(target=self._deliver, args=args, name="flyte-ray-notify", daemon=True))
                threads[-1].start()
        until = time.monotonic() + PROMPT_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Try nothing a second time from now on; what was not taken is left to who comes upon the end again."""
        self._closed.set()

    def _deliver(self, mark: str, recorded: Mapping[str, Any], run: RunId, ended: Ended) -> None:
        from flyte_ray.ledger import delivery, notices  # mail and HTTP take 20 ms, and most runs have nobody told

        send = self._send or delivery.send
        what = f"the {recorded['kind']} notification of run {run}"
        failure = ""
        for pause_s in (0.0, *PAUSES_S):
            if pause_s and self._closed.wait(pause_s):
                _log.warning("%s was not sent before its ledger ended: %s", what, failure)
                return
            try:
                if self._store.exists(mark):
                    return
                send(notices.write(load_notification(recorded), notices.variables_of(run, ended)))
                failure = ""
                break
            except delivery.Refused as error:
                failure = str(error)
                break
            except Exception as error:  # the server's failure, the network's or the store's: the same to who waits
                failure = str(error)
                _log.info("%s is sent again: %s", what, failure)
        if failure:
            # Not where to: often a URL alone is the right to post there.
            _log.warning("%s was not sent: %s", what, failure)
        record = {"kind": recorded["kind"], "phase": ended.phase, "at_us": self._now_us(), "error": failure}
        try:
            self._store.put(mark, json.dumps(record).encode())
        except Exception as error:
            _log.warning("that %s was tried could not be noted, and may happen again: %s", what, error)
