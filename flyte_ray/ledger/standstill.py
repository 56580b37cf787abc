"""Notice a run in which everything waits: CPUs that cannot be lent, memory and GPUs that Ray does not lend at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.dispatch import lends

OVERFLOW: Final = "over-"
"""Begins the names of slots that take no CPU."""
OVERFLOW_S: Final = 2.0
"""How long a run may do nothing but wait for CPUs before it gets a slot that asks for none."""
STUCK_S: Final = 8.0
"""How long a run may do nothing but wait for what its own waiting actions hold."""


class Standstill:
    """Watches one run."""

    def __init__(self, book: RunBook, now_us: Callable[[], int]) -> None:
        """Watch a run by the ledger's clock."""
        self._book, self._now_us = book, now_us
        self._since: dict[str, int] = {}

    def look(self, may_grow: Callable[[str], bool]) -> list[tuple[str, str | None]]:
        """Return what must be done about it.

        Args:
            may_grow: Whether the cluster may get more room for slots with these Ray options by itself: who waits for
                that is left to wait.

        Returns:
            Shapes whose actions wait for too long, each with the Ray options of a slot that takes no CPU, or with None
            where no slot can ever start.

        """
        book, now_us = self._book, self._now_us()
        # `calling`: inside of asyncio.run or a thread pool, a sync action may wait without saying so.
        stands = bool(book.slots) and all(slot.waiting or slot.calling for slot in book.slots.values())
        self._since = {shape: self._since.get(shape, now_us) for shape in book.dispatch.shapes if stands}
        found: list[tuple[str, str | None]] = []
        for shape, since in self._since.items():
            seconds = (now_us - since) / 1e6
            options = json.loads(book.options_of(shape))
            if may_grow(book.options_of(shape)):
                continue
            if not lends(book.options_of(shape)):
                # What a person may still end is no deadlock.
                found += [(shape, None)] if seconds > STUCK_S and not len(book.conditions) else []
            elif seconds > OVERFLOW_S and not any(name.startswith(OVERFLOW) for name in book.starting):
                # Those who wait hold CPUs that they do not use and cannot lend.
                found.append((shape, json.dumps({**options, "num_cpus": 0})))
        return found

    def message(self) -> str:
        """Name the waiting actions and what their slots hold."""
        book = self._book
        held = {name: book.refs[book.state.actions[name].task] for slot in book.slots.values() for name in slot.running}
        holders = "; ".join(f"{ref.name} ({name}) holds {_amounts(ref.options)}" for name, ref in held.items())
        return (
            f"No slot can start, because all that it needs is held by actions that wait: {holders}. Ray lends the CPUs"
            f" of those who wait, not memory or GPUs: ask for less in the caller's environment."
        )


def _amounts(options: str) -> str:
    given = json.loads(options)
    words = [f"{given.get('num_cpus', 1):g} CPU"]
    words += [f"{given['num_gpus']:g} GPU"] if given.get("num_gpus") else []
    words += [f"{given['memory'] / 1024**3:.1f} GiB of memory"] if given.get("memory") else []
    words += [f"{amount:g} {name}" for name, amount in given.get("resources", {}).items()]
    return ", ".join(words)
