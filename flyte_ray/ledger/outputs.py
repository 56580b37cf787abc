"""Use recorded outputs outside of the run that made them: what they refer to stays where that run put it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from flyte_ray.errors import ObjectMissing
from flyte_ray.storage import Store, open_place
from flyte_ray.types.references import place_of, references, taken_from

LOOKS: Final = 16
"""How many outputs are looked for at a time."""


def take_all(store: Store, place: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Take outputs by the ids of their actions, see `take`; those are missing of which something is gone."""
    taken = {name: text for name, text in texts.items() if not _may_refer(text)}
    if len(taken) == len(texts):
        return taken
    referring = [name for name in texts if name not in taken]
    with ThreadPoolExecutor(LOOKS, "flyte-ray-look") as pool:
        found = pool.map(lambda name: take(store, place, texts[name]), referring)
        return taken | {name: text for name, text in zip(referring, found, strict=True) if text is not None}


def take(store: Store, place: str, text: str) -> str | None:
    """Return an output so that what it refers to is found from another run; None if something of that is gone.

    Args:
        store: The root.
        place: Where the large values lie of the run that has the output on record.
        text: JSON of the output.

    """
    if not _may_refer(text):
        return text
    at, raw = place_of(json.loads(text))
    if not _is_whole(*open_place(store, at or place), json.dumps(raw)):
        return None
    return text if at or not references(json.dumps(raw)) else taken_from(place, text)


def _may_refer(text: str) -> bool:
    """Whether there may be a mark in an output; what has none is plain JSON."""
    return '"$' in text or '"run:' in text


def _is_whole(store: Store, prefix: str, text: str) -> bool:
    """Tell whether all is there that an output refers to."""
    try:
        uris = references(text, lambda uri: store.get(f"{prefix}/{uri}"))
    except ObjectMissing:
        return False
    # A folder is there if anything lies below it.
    return all(store.exists(f"{prefix}/{uri}") or store.keys(f"{prefix}/{uri}") for uri in uris)
