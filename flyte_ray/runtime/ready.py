"""Keep what a slot has received and not begun.

Invariant: work that waits too long behind an action can be handed back to the ledger. Guarded by the slot's lock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from flyte_ray.ledger.messages import Item, Return, Work

STALE_S: Final = 0.1
"""Work that waits for longer behind a running action is handed back."""


class Ready:
    """Work of one slot, in the order in which it will be begun."""

    def __init__(self, post: Callable[[Item], None]) -> None:
        """Hand back what goes back by `post`."""
        self._post = post
        self._works: deque[Work] = deque()
        self._moved = time.monotonic()

    def __len__(self) -> int:
        return len(self._works)

    def __iter__(self) -> Iterator[Work]:
        return iter(self._works)

    @property
    def next(self) -> Work | None:
        """What will be begun next."""
        return self._works[0] if self._works else None

    def add(self, work: Work) -> None:
        """Begin it after all others."""
        self._works.append(work)

    def add_first(self, work: Work) -> None:
        """Begin it before all others."""
        self._works.appendleft(work)

    def take(self) -> Work:
        """Return what is begun now."""
        self.move()
        return self._works.popleft()

    def move(self) -> None:
        """Take note that an action has begun or ended."""
        self._moved = time.monotonic()

    def stale_at(self) -> float | None:
        """When what waits here is to be handed back, by the monotonic clock; None if nothing does."""
        return self._moved + STALE_S if self._works else None

    @property
    def is_stale(self) -> bool:
        """Whether something has waited here for too long."""
        return bool(self._works) and time.monotonic() - self._moved > STALE_S

    def hand_back(self, action: str | None = None) -> None:
        """Hand back an action, or all."""
        for work in [work for work in self._works if action in (None, work.action)]:
            self._works.remove(work)
            self._post(Return(work.action, work.attempt))
