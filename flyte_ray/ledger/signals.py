"""Decide in the store how the wait of a condition ends: by a signal, or because its time was over.

Invariants: an entry is written once, with put-if-absent, and the first one decides; so a signal that is stored is
answered with, whatever the ledger does at that moment, and a second one is refused. An entry that says that the time
was over decides the wait of its round alone: when the condition waits anew, the next entry decides.
Knows nothing of who waits (`ledger/conditions.py`) or who signals.
"""

from __future__ import annotations

import json
from typing import Any

from flyte_ray.errors import ObjectMissing, StoreError
from flyte_ray.ledger.paths import signal_key
from flyte_ray.spec.condition import ConditionValue
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store

Entry = dict[str, Any]


def signal_entry(value: ConditionValue, by: str, at_us: int, nonce: str) -> Entry:
    """Write a signal: a value, and who gave it.

    Args:
        value: Of the condition's type.
        by: The signaller, for people.
        at_us: By the signaller's clock, in microseconds since the epoch.
        nonce: Tells a put that was repeated from that of another signaller.

    """
    return {"value": value, "by": by, "at_us": at_us, "nonce": nonce}


def expiry_entry(error: str, rounds: int, at_us: int) -> Entry:
    """Write that nobody signalled in time: `error` is the JSON of what the waiting action gets."""
    return {"error": json.loads(error), "round": rounds, "at_us": at_us}


def is_signal(entry: Entry) -> bool:
    """Whether an entry is a signal, and not the end of the time."""
    return "value" in entry


def find_decision(store: Store, run: RunId, action: str, rounds: int) -> tuple[int, Entry | None]:
    """Return the number of a condition's next entry, and the entry that decides already.

    Args:
        store: The root.
        run: The run.
        action: The condition's id.
        rounds: How often it has begun to wait anew.

    Raises:
        StoreError: The store does not answer, or holds something else there.

    """
    number = 0
    while True:
        key = signal_key(run, action, number)
        try:
            entry: Entry = json.loads(store.get(key))
            if is_signal(entry) or entry["round"] >= rounds:
                return number, entry
        except ObjectMissing:
            return number, None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{store.uri}/{key} should hold a signal, but: {error}. Remove it.") from error
        number += 1


def decide(store: Store, run: RunId, action: str, rounds: int, entry: Entry) -> Entry:
    """Have an entry decide how a condition's wait ends; return the one that does: it, or one that came before it."""
    while True:
        number, found = find_decision(store, run, action, rounds)
        if found is not None:
            return found
        # Where this is refused, somebody was faster, or our own put was repeated below us: the store says who.
        if store.put_if_absent(signal_key(run, action, number), json.dumps(entry, ensure_ascii=False).encode()):
            return entry
