"""Use recorded outputs outside of the run that made them: what they refer to stays where that run put it."""

from __future__ import annotations

import json

from flyte_ray.errors import ObjectMissing
from flyte_ray.storage import Store, open_place
from flyte_ray.types.references import place_of, references, taken_from


def take(store: Store, place: str, text: str, *, checked: bool = True) -> str | None:
    """Return an output so that what it refers to is found from another run.

    Args:
        store: The root.
        place: Where the large values lie of the run that has the output on record.
        text: JSON of the output.
        checked: Return None if something is gone that it refers to.

    """
    if '"$' not in text and '"run:' not in text:
        return text  # plain JSON; the marks that may be in it are looked for below
    at, raw = place_of(json.loads(text))
    if checked and not _is_whole(*open_place(store, at or place), json.dumps(raw)):
        return None
    return text if at or not references(json.dumps(raw)) else taken_from(place, text)


def _is_whole(store: Store, prefix: str, text: str) -> bool:
    """Tell whether all is there that an output refers to."""
    try:
        uris = references(text, lambda uri: store.get(f"{prefix}/{uri}"))
    except ObjectMissing:
        return False
    # A folder is there if anything lies below it.
    return all(store.exists(f"{prefix}/{uri}") or store.keys(f"{prefix}/{uri}") for uri in uris)
