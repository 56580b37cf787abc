"""Give tasks the time, waiting and chance in a form that a later attempt gets again: `flyte.durable`.

Each call is a recorded step, as of `flyte.trace`; outside a task it is the plain function.
"""

from __future__ import annotations

import asyncio
import random as chance
import time as real
import uuid as ids
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from flyte_ray.api.both import BothOwn
from flyte_ray.api.trace import record_calls
from flyte_ray.runtime.steps import Traced


class Clock(Protocol):
    """What these functions tell and wait by; tests put another one in its place."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    async def sleep_later(self, seconds: float) -> None:
        """Wait without blocking the loop."""


class _Real:
    def time(self) -> float:
        return real.time()

    def sleep(self, seconds: float) -> None:
        real.sleep(seconds)

    async def sleep_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_clock: Clock = _Real()


def use_clock(clock: Clock) -> Clock:
    """Put a clock in place of the one in use, which is returned; see `flyte_ray.testing.FakeClock`."""
    global _clock
    before, _clock = _clock, clock
    return before


def _recorded(name: str, value: Callable[..., Any]) -> Callable[..., Any]:
    # By name and not by body: a new version of this package finds the records of an older one.
    return record_calls(Traced(value, f"flyte.durable.{name}"))


_sleep_start = _recorded("sleep", lambda seconds: _clock.time())
_time = _recorded("time", lambda: _clock.time())
_now = _recorded("now", lambda: datetime.fromtimestamp(_clock.time()).isoformat())
_random = _recorded("random", lambda: chance.random())
_uuid = _recorded("uuid", lambda: str(ids.uuid4()))


def _left(seconds: float) -> float:
    """Record when a sleep began, at its first attempt; return the seconds that are left of it."""
    start: float = _sleep_start(seconds)
    return max(0.0, start + seconds - _clock.time())


def _sleep(seconds: float) -> None:
    """Sleep; after a crash only for the rest of the time. Source: `flyte.durable.sleep`.

    Args:
        seconds: How long, counted from the first attempt's call.

    """
    _clock.sleep(_left(seconds))


async def _sleep_later(seconds: float) -> None:
    await _clock.sleep_later(_left(seconds))


def _read_time() -> float:
    """Return the seconds since the epoch, as `time.time`. Source: `flyte.durable.time`."""
    value: float = _time()
    return value


def _read_now() -> datetime:
    """Return the local time without a zone, as `datetime.now`. Source: `flyte.durable.now`."""
    return datetime.fromisoformat(_now())


def _draw() -> float:
    """Return a number from 0 up to, not including, 1, as `random.random`. Ours, not Flyte's."""
    value: float = _random()
    return value


def _make_uuid() -> ids.UUID:
    """Return a random UUID, as `uuid.uuid4`. Ours, not Flyte's."""
    return ids.UUID(_uuid())


sleep = BothOwn(_sleep, _sleep_later)
time = BothOwn(_read_time)
now = BothOwn(_read_now)
random = BothOwn(_draw)
uuid = BothOwn(_make_uuid)
