"""Read what attempts printed, as far as it is stored, and put it together."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from typing import NamedTuple

from flyte_ray.ledger.events import LOGGED, Event
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.segment import events_about
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store


class Piece(NamedTuple):
    """Text that one attempt printed."""

    attempt: int
    start: int
    """Number of its first character, counted from 0 within the attempt."""
    end: int
    """Number of the first character behind it."""
    at_us: int
    """When the ledger was told; microseconds since the epoch."""
    text: str


def load_printed(store: Store, run: RunId, action: str, attempt: int | None = None) -> list[Piece]:
    """Read what an action's attempts printed, or one of them: each piece once, by attempt and in its order."""
    segments = read_segments(store, run, take=partial(events_about, action))
    ours = (event for _, segment in segments for event in segment.events if event.action == action)
    return order_pieces(event for event in ours if attempt in (None, event.attempt))


def order_pieces(events: Iterable[Event]) -> list[Piece]:
    """Put what the events of one action say of it in order; a slot may tell a piece twice where a ledger restarted."""
    pieces: dict[tuple[int, int, str], Piece] = {}
    for event in (event for event in events if event.kind == LOGGED):
        place = json.loads(event.context) if event.context else None
        text = event.body or ""
        # The first format had all text of an attempt in one event.
        start, end = (place["from"], place["to"]) if place else (0, len(text))
        pieces.setdefault((event.attempt, start, text), Piece(event.attempt, start, end, event.at, text))
    return [pieces[key] for key in sorted(pieces)]


def write_printed(pieces: Iterable[Piece], *, with_times: bool = False, after: int = 0) -> str:
    """Write pieces as one text; what an attempt printed and nobody was told of is marked where it is missing.

    Args:
        pieces: In their order.
        with_times: Begin each line with when the ledger was told of its beginning, in UTC.
        after: How many of an attempt's characters are left out, because the reader has them.

    """
    text, attempt, known = "", -1, 0
    for piece in pieces:
        if piece.attempt != attempt:
            attempt, known = piece.attempt, after
        begins = not text or text.endswith("\n")
        if piece.end <= known:
            continue  # told again with what was left out around it
        if piece.start > known:
            text += f"{'' if begins else chr(10)}[{piece.start - known:,} characters left out]\n"
            begins = True
        piece = piece._replace(text=piece.text[max(0, known - piece.start) :])
        known = piece.end
        text += _timed(piece, begins) if with_times else piece.text
    return text


def _timed(piece: Piece, begins: bool) -> str:
    stamp = datetime.fromtimestamp(piece.at_us / 1e6, timezone.utc).isoformat(timespec="milliseconds")
    first, *others = piece.text.splitlines(keepends=True) or [""]
    return "".join([f"{stamp} {first}" if begins else first, *(f"{stamp} {line}" for line in others)])
