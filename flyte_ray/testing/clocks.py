"""A clock for tests: what `flyte.durable` tells and waits for passes when the test says so."""

from __future__ import annotations

import time
from types import TracebackType

from flyte_ray.api import durable


class FakeClock:
    """The time of `flyte.durable.time`, `now` and `sleep` while this is open; a sleep passes at once.

    Nothing else follows it: limits, backoffs and the cache's ages are the ledger's, which runs as ever.
    """

    def __init__(self, start: float | None = None) -> None:
        """Begin at a time, seconds since the epoch; None for the real one."""
        self._now = time.time() if start is None else start
        self.slept: list[float] = []
        """How long each sleep would have taken, in seconds."""

    def time(self) -> float:
        """Return the time, seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Let the time of a sleep pass at once."""
        self.slept.append(seconds)
        self.advance(seconds)

    async def sleep_later(self, seconds: float) -> None:
        """Let the time of a sleep in async code pass at once."""
        self.sleep(seconds)

    def __enter__(self) -> FakeClock:
        self._before = durable.use_clock(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        durable.use_clock(self._before)
