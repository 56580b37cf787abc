"""Number what is put on record again and again: apps and triggers, by revisions that count from 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flyte_ray.storage import Store

TRIES: Final = 100
"""Numbers that others may take at the same moment."""


def put_next(store: Store, number: int, key: Callable[[int], str], body: Callable[[int], bytes]) -> int:
    """Put a revision where nothing is, from a number on; returns the one that it got."""
    for each in range(number, number + TRIES):
        if store.put_if_absent(key(each), body(each)):
            return each
    raise AssertionError(f"{TRIES} revisions from {key(number)} on were made by others at this moment")
