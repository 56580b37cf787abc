"""Say for how long counters have stood still, as one pair of eyes has seen it.

Invariants: nothing rests on another machine's clock; a time in which nobody could look, because the watcher slept or
the store was away, counts for at most `GAP_S`: the holder may have been kept from stepping as well.
Pure: the clock comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Final, NamedTuple

GAP_S: Final = 12.0
"""Most that passes between two looks in a row."""


class _Seen(NamedTuple):
    mark: Hashable
    still_s: float
    at: float


class Stillness:
    """What one watcher has seen of some counters."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Look with this clock: seconds that never go back."""
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def look(self, name: str, mark: Hashable) -> float:
        """Take note that a counter stands at `mark`; return for how many seconds it has been seen to."""
        now, before = self._clock(), self._seen.get(name)
        still_s = before.still_s + min(now - before.at, GAP_S) if before and before.mark == mark else 0.0
        self._seen[name] = _Seen(mark, still_s, now)
        return still_s

    def forget_all_but(self, names: Collection[str]) -> None:
        """Forget the counters that are gone."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
