"""Know what the tasks of one run say about the shapes of their slots: Ray options, pool and queue.

Pure. A shape whose memory has grown is the plain one in all but that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flyte_ray.ledger.memory import grown_options, plain_shape
from flyte_ray.ledger.messages import Pool, TaskRef


class HeldBack(NamedTuple):
    """What keeps a shape from having as many slots as its actions are worth."""

    since_us: int
    limits: frozenset[str]
    """Names of those that are reached, or in which others have waited longer for a place."""


class Shapes:
    """The shapes of a run."""

    def __init__(self, refs: Iterable[TaskRef]) -> None:
        """Know those of tasks."""
        self._options: dict[str, str] = {}
        self._pools: dict[str, Pool] = {}
        self._queues: dict[str, str] = {}
        for ref in refs:
            self.add(ref)

    def add(self, ref: TaskRef) -> None:
        """Know that of another task."""
        self._options.setdefault(ref.shape, ref.options)
        if ref.pool:
            self._pools[ref.shape] = ref.pool
        if ref.queue:
            self._queues[ref.shape] = ref.queue

    def options_of(self, shape: str) -> str:
        """The Ray options of a shape, as JSON."""
        return grown_options(self._options[plain_shape(shape)], shape)

    def pool_of(self, shape: str) -> Pool | None:
        """The pool that slots of a shape belong to; None if they are their run's own."""
        return self._pools.get(plain_shape(shape)) if self._pools else None

    def queue_of(self, shape: str) -> str | None:
        """The queue whose limits hold for the actions of a shape; None for none."""
        return self._queues.get(plain_shape(shape)) if self._queues else None

    @property
    def queues(self) -> set[str]:
        """All queues of its tasks."""
        return set(self._queues.values())
