"""Policies of a task: retries, time limits, reuse of slots.

Invariant: a policy that exists is valid. Caching has its own module and is exported here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.caching import (
    Cache,
    CachePolicy,
    CacheRequest,
    FunctionBodyPolicy,
    VersionParameters,
    cache_from,
)

__all__ = [
    "Backoff",
    "Cache",
    "CachePolicy",
    "CacheRequest",
    "FunctionBodyPolicy",
    "RetryStrategy",
    "ReusePolicy",
    "Timeout",
    "TimeoutType",
    "VersionParameters",
    "cache_from",
    "retries_from",
    "timeout_from",
]

MIN_TTL: Final = timedelta(seconds=30)
"""Shortest time that an idle slot may be kept."""


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_duration(owner: str, value: object) -> None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not is_number and not (isinstance(value, timedelta) and value >= timedelta(0)):
        raise InvalidDeclaration(
            f"{owner} must be seconds or a timedelta, not negative, got {value!r}. Write timedelta(minutes=5) or 300."
        )


def _seconds(value: timedelta | int | None) -> float | None:
    """Seconds of a duration; `None` for "no bound", which both `None` and 0 mean."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value or 0)
    return seconds or None


@dataclass(frozen=True)
class Backoff:
    """Waiting between the attempts of an action: `min(base * factor**n, cap)` before the n-th retry, from n = 0.

    Raises:
        InvalidDeclaration: `base` or `cap` is no positive timedelta, `factor` is below 1 or not finite, or `cap` is
            missing although the wait grows.

    Source: `flyte.Backoff`.

    """

    base: timedelta
    factor: float = 1.0
    cap: timedelta | None = None
    """Longest wait; required if `factor` is above 1."""

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not isinstance(self.base, timedelta) or self.base < timedelta(0):
            raise InvalidDeclaration(
                f"Backoff.base must be a timedelta, not negative, got {self.base!r}. Write timedelta(seconds=1)."
            )
        is_number = isinstance(self.factor, (int, float)) and not isinstance(self.factor, bool)
        if not is_number or not math.isfinite(self.factor) or self.factor < 1:
            raise InvalidDeclaration(
                f"Backoff.factor must be a finite number of at least 1, got {self.factor!r}. Write 2.0 to double."
            )
        if self.cap is not None and (not isinstance(self.cap, timedelta) or self.cap < timedelta(0)):
            raise InvalidDeclaration(
                f"Backoff.cap must be a timedelta, not negative, got {self.cap!r}. Write timedelta(minutes=5)."
            )
        if self.cap is None and self.factor > 1:
            raise InvalidDeclaration(
                f"Backoff.cap is required when the wait grows, got cap=None with factor={self.factor!r}. "
                f"Write cap=timedelta(minutes=5)."
            )

    def delay_s(self, retry: int) -> float:
        """Seconds to wait before retry number `retry`, counted from 0."""
        try:
            delay = self.base.total_seconds() * self.factor**retry
        except OverflowError:
            delay = math.inf
        return delay if self.cap is None else min(delay, self.cap.total_seconds())


@dataclass(frozen=True)
class RetryStrategy:
    """How often the user's failures are retried. Failures of the system are counted apart.

    Raises:
        InvalidDeclaration: `count` is no integer of at least 0, `backoff` no `Backoff`, `retry_on` holds anything but
            exception types, or `on_oom` is another word.

    Source: `flyte.RetryStrategy`; `retry_on` and `on_oom` are ours.

    """

    count: int
    """Retries after the first attempt."""
    backoff: Backoff | None = None
    """`None` retries at once."""
    retry_on: tuple[type[BaseException], ...] | None = field(default=None, kw_only=True)
    """Only these exceptions are retried, where they are raised in the task or are its limits' errors such as
    `MaxRuntimeExceededError`; `None` retries all but `NonRecoverableError`. One type may stand for itself."""
    on_oom: Literal["fail", "grow"] = field(default="fail", kw_only=True)
    """`grow` runs an attempt that exceeded its memory again with twice as much, up to the limit in
    `Resources(memory=(request, limit))`, without spending `count`."""

    def __post_init__(self) -> None:
        """Check all and bring `retry_on` into one form."""
        if not _is_count(self.count, 0):
            raise InvalidDeclaration(
                f"RetryStrategy.count must be an integer of at least 0, got {self.count!r}. Write 0 for no retries."
            )
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            raise InvalidDeclaration(
                f"RetryStrategy.backoff must be a Backoff, got {self.backoff!r}. Write Backoff(timedelta(seconds=1))."
            )
        self._check_retry_on()
        if self.on_oom not in ("fail", "grow"):
            raise InvalidDeclaration(
                f"RetryStrategy.on_oom must be 'fail' or 'grow', got {self.on_oom!r}. Write 'grow' to try with more."
            )

    def _check_retry_on(self) -> None:
        given: Any = self.retry_on
        if given is None:
            return
        types = (given,) if isinstance(given, type) else tuple(given) if isinstance(given, (tuple, list)) else (given,)
        wrong = [each for each in types if not (isinstance(each, type) and issubclass(each, BaseException))]
        if wrong or not types:
            raise InvalidDeclaration(
                f"RetryStrategy.retry_on must be a tuple of exception types, got {given!r}. "
                f"Write (ConnectionError, TimeoutError), or None to retry all."
            )
        object.__setattr__(self, "retry_on", types)

    def covers(self, kind: type[BaseException]) -> bool:
        """Whether exceptions of a type are retried."""
        return self.retry_on is None or issubclass(kind, self.retry_on)

    def delay_s(self, retry: int) -> float:
        """Seconds to wait before retry number `retry`, counted from 0."""
        return 0.0 if self.backoff is None else self.backoff.delay_s(retry)


def retries_from(request: int | RetryStrategy) -> RetryStrategy:
    """Read `retries=` in either form; raises `InvalidDeclaration` for anything else."""
    return request if isinstance(request, RetryStrategy) else RetryStrategy(request)


@dataclass(frozen=True)
class Timeout:
    """Time limits of an action; `None` and 0 mean no bound, an integer is seconds.

    Raises:
        InvalidDeclaration: A bound is negative or neither an integer nor a timedelta.

    Source: `flyte.Timeout`.

    """

    max_runtime: timedelta | int | None = None
    """Of the running phase, for each attempt."""
    max_queued_time: timedelta | int | None = None
    """Of waiting in the queue and for resources, for each attempt."""
    deadline: timedelta | int | None = None
    """From first being queued, over all attempts; wins over retries that are left."""

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name in ("max_runtime", "max_queued_time", "deadline"):
            value = getattr(self, name)
            if value is not None:
                _check_duration(f"Timeout.{name}", value)

    @property
    def max_runtime_s(self) -> float | None:
        """Bound in seconds."""
        return _seconds(self.max_runtime)

    @property
    def max_queued_time_s(self) -> float | None:
        """Bound in seconds."""
        return _seconds(self.max_queued_time)

    @property
    def deadline_s(self) -> float | None:
        """Bound in seconds."""
        return _seconds(self.deadline)


TimeoutType = Timeout | int | timedelta


def timeout_from(request: TimeoutType | None) -> Timeout:
    """Read `timeout=` in any form; a bare value bounds the running time."""
    return request if isinstance(request, Timeout) else Timeout(max_runtime=request)


@dataclass(frozen=True)
class ReusePolicy:
    """Keep an environment's processes, with what actions have left in them, for other actions and other runs.

    Runs of other code or with other variables have processes of their own. A process that has nothing to do lends its
    CPU; it keeps its memory and GPUs, unless others wait for them. Local mode has one process, which is kept anyway.

    Raises:
        InvalidDeclaration: A field is outside of what its docstring allows.

    Source: `flyte.ReusePolicy`.

    """

    replicas: Any = 2
    """A count, or (least, most); afterwards always the pair."""
    idle_ttl: timedelta | int = field(default=30)
    """After this long without any action all processes end; seconds or timedelta, at least 30 s."""
    concurrency: int = 1
    """Actions that run at a time in one process; more than 1 is for async tasks."""
    scaledown_ttl: timedelta | int = field(default=30)
    """After this long without an action one process ends, down to the least; seconds or timedelta, at least 30 s."""
    scope: Literal["global", "run"] = "global"
    """Whether processes are shared by all runs or belong to one."""

    def __post_init__(self) -> None:
        """Check and bring into one form."""
        given = self.replicas
        pair = given if isinstance(given, (tuple, list)) else (given, given)
        if len(pair) != 2 or not all(_is_count(value, 0) for value in pair) or pair[0] > pair[1]:
            raise InvalidDeclaration(
                f"ReusePolicy.replicas must be a count or (least, most), not negative, got {given!r}. Write (1, 4)."
            )
        object.__setattr__(self, "replicas", (pair[0], pair[1]))
        if not _is_count(self.concurrency, 1):
            raise InvalidDeclaration(
                f"ReusePolicy.concurrency must be an integer of at least 1, got {self.concurrency!r}. Write 1."
            )
        for name in ("idle_ttl", "scaledown_ttl"):
            value = getattr(self, name)
            _check_duration(f"ReusePolicy.{name}", value)
            ttl = value if isinstance(value, timedelta) else timedelta(seconds=value)
            if ttl < MIN_TTL:
                raise InvalidDeclaration(f"ReusePolicy.{name} must be at least 30 seconds, got {value!r}. Write 30.")
            object.__setattr__(self, name, ttl)
        if self.scope not in ("global", "run"):
            raise InvalidDeclaration(
                f"ReusePolicy.scope must be 'global' or 'run', got {self.scope!r}. Write scope='run' to share nothing."
            )

    @property
    def min_replicas(self) -> int:
        """Fewest processes kept."""
        return int(self.replicas[0])

    @property
    def max_replicas(self) -> int:
        """Most processes at a time."""
        return int(self.replicas[1])

    @property
    def idle_ttl_s(self) -> float:
        """`idle_ttl` in seconds."""
        return _seconds(self.idle_ttl) or 0.0

    @property
    def scaledown_ttl_s(self) -> float:
        """`scaledown_ttl` in seconds."""
        return _seconds(self.scaledown_ttl) or 0.0
