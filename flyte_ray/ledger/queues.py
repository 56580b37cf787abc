"""Keep named queues on record, and look now and then which of them there are.

Invariant: who looks is a thread of its own; no store is asked by who wants to know.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection
from typing import Any, Final

from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.ledger.paths import QUEUES, queue_key
from flyte_ray.spec.nearest import did_you_mean
from flyte_ray.spec.queue import QueueLimits
from flyte_ray.storage import Store

LOOK_US: Final = 5_000_000
"""How old what is known of queues may be while any of them is used, in microseconds."""
AGAIN_US: Final = 500_000
"""The same where one that is used is not known."""
MAKE: Final = "'flyte-ray create queue {0} --max-actions 8' makes it."
"""Says how to make a queue of this name."""
_log: Final = logging.getLogger("flyte_ray.ledger")


def put_queue(store: Store, limits: QueueLimits, *, at_us: int, by: str) -> None:
    """Put a queue on record, or its limits in the place of those that it had."""
    body = {"max_actions": limits.max_actions, "priority": limits.priority, "rate": limits.rate}
    store.put(queue_key(limits.name), json.dumps({**body, "at_us": at_us, "by": by}).encode())


def list_queues(store: Store) -> dict[str, tuple[QueueLimits, dict[str, Any]]]:
    """Read all queues, by name: their limits, and `at_us` and `by` of who set them."""
    names = (key.rpartition("/")[2].removesuffix(".json") for key in sorted(store.keys(QUEUES)))
    found: dict[str, tuple[QueueLimits, dict[str, Any]]] = {}
    for name in names:
        try:
            body = json.loads(store.get(queue_key(name)))
        except ObjectMissing:
            continue  # deleted meanwhile
        limits = QueueLimits(name, body["max_actions"], body["priority"], body["rate"])
        found[name] = limits, {"at_us": body["at_us"], "by": body["by"]}
    return found


def delete_queue(store: Store, name: str) -> None:
    """Take a queue off the record: once a ledger has looked, no new run uses it; its limits hold for those that do.

    Raises:
        ObjectMissing: There is none of this name.

    """
    if not store.exists(queue_key(name)):
        raise ObjectMissing(f"{store.uri}/{QUEUES}", f"{store.uri} should hold {missing(name, list_queues(store))}")
    store.delete([queue_key(name)])


def missing(name: str, known: Collection[str]) -> str:
    """Say that there is no such queue, and which there are."""
    hint = did_you_mean(name, known, f"There are: {', '.join(known)}." if known else "There is none.")
    return f"a queue '{name}', but does not. {hint}"


class QueueDesk:
    """Looks for the queues that the runs of a ledger use."""

    def __init__(
        self, store: Store, now_us: Callable[[], int], learn: Callable[[dict[str, QueueLimits], frozenset[str]], None]
    ) -> None:
        """Look in a store; `learn` takes, on the desk's thread, what is found, and what was wanted and is missing."""
        self._store, self._now_us, self._learn = store, now_us, learn
        self._looks = False
        self._looked_us = 0

    def attend(self, *, in_use: bool, unknown: frozenset[str]) -> None:
        """Look if it is time to; call at every tick with the ledger's lock held.

        Args:
            in_use: Whether a run uses any queue.
            unknown: Names for which actions wait though no queue of them was found.

        """
        age_us = self._now_us() - self._looked_us
        if self._looks or not in_use or age_us < (AGAIN_US if unknown else LOOK_US):
            return
        self._looks = True
        threading.Thread(target=self._look, args=(unknown,), name="flyte-ray-queues", daemon=True).start()

    def _look(self, wanted: frozenset[str]) -> None:
        try:
            found = {name: limits for name, (limits, _) in list_queues(self._store).items()}
            # Not all that is wanted by now: it may have been made since the store was asked.
            self._learn(found, wanted - found.keys())
        except StoreError as error:  # what is known holds, and what waits goes on waiting
            _log.debug("queues cannot be read, which is tried again: %s", error)
        except Exception:
            _log.exception("queues cannot be read, which is tried again")
        finally:
            self._looked_us = self._now_us()
            self._looks = False
