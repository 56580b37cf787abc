"""Read of a log what concerns one action, from those segments that are known to hold some of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from flyte_ray.errors import ObjectMissing
from flyte_ray.ledger.blocks import Part, first_of, read_block
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.paths import segment_key
from flyte_ray.ledger.segment import decode_segment, events_about
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store


def read_events(store: Store, run: RunId, action: str, positions: Iterable[int]) -> list[Event]:
    """Return the events of an action in the segments at some positions, which were found valid before.

    Raises:
        StoreDamagedError: A segment was changed.

    """
    take = partial(events_about, action)
    block: list[Part] | None = None
    first = -1
    found: list[Event] = []
    for position in positions:
        if block is None or first_of(position) != first:
            key = segment_key(run, position)
            try:
                found += decode_segment(store.get(key), f"{store.uri}/{key}", take).events
                continue
            except ObjectMissing:  # it was packed
                block, first = read_block(store, run, position) or [], first_of(position)
        found += [event for part in block if part.position == position for event in part.segment(take).events]
    return [event for event in found if event.action == action]
