"""Read what a slot takes of its node from its Ray options.

Pure. Ray lends the CPUs of a slot that waits, and nothing else of what it holds.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, Final

LENT: Final = "CPU"
"""What a waiting slot gives to others."""
_GIB: Final = 1024**3


def amounts(options: Mapping[str, Any]) -> dict[str, float]:
    """Return amounts by Ray's names of resources, memory in bytes; what is not taken is left out."""
    found = {
        "CPU": options.get("num_cpus", 1),
        "GPU": options.get("num_gpus"),
        "memory": options.get("memory"),
        **options.get("resources", {}),
    }
    return {name: amount for name, amount in found.items() if amount}


@functools.lru_cache(maxsize=1024)
def amounts_of(options: str) -> Mapping[str, float]:
    """Read `amounts` from the JSON of Ray options: a ledger of many runs does at each tick, of the same few texts."""
    return amounts(json.loads(options))


def lends(options: Mapping[str, Any]) -> bool:
    """Whether a slot gives back all that it holds while it waits."""
    return not amounts(options).keys() - {LENT}


def in_words(taken: Mapping[str, float]) -> str:
    """Write amounts for people: `1 CPU, 0.5 GiB of memory`."""
    words = [
        f"{amount / _GIB:.3g} GiB of memory" if name == "memory" else f"{amount:.3g} {name}"
        for name, amount in taken.items()
    ]
    return ", ".join(words) or "nothing"
