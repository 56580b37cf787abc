"""How many replicas an app may have, and what decides it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flyte_ray.errors import InvalidDeclaration


@dataclass(frozen=True)
class _Metric:
    val: int
    """What one replica is meant to bear, at least 1."""

    def __post_init__(self) -> None:
        """Check it."""
        if not _is_count(self.val) or self.val < 1:
            raise InvalidDeclaration(
                f"Scaling.{type(self).__name__} must be a whole number of at least 1, got {self.val!r}. Write"
                f" Scaling.{type(self).__name__}(10)."
            )


@dataclass(frozen=True)
class Scaling:
    """The range of replicas of an app.

    Raises:
        InvalidDeclaration: The range is upside down or allows none, or another field has an impossible value.

    Source: `flyte.app.Scaling`.

    """

    @dataclass(frozen=True)
    class Concurrency(_Metric):
        """Requests that one replica serves at the same time, open WebSockets included."""

    @dataclass(frozen=True)
    class RequestRate(_Metric):
        """Requests per second that one replica serves."""

    replicas: int | tuple[int, int] = (0, 1)
    """The least and the most, both counted in; a number alone is both. With 0 as the least, an app that nobody uses
    takes nothing, and the first request waits for a replica to start."""
    metric: Concurrency | RequestRate | None = None
    """What one replica bears; None leaves it to Serve."""
    scaledown_after: int | timedelta | None = None
    """How long a replica that is not needed stays, in seconds; None: 10 minutes, as Serve does."""

    def __post_init__(self) -> None:
        """Check the range and make it a pair."""
        given: Any = self.replicas
        pair = (given, given) if _is_count(given) else given
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(map(_is_count, pair)):
            raise InvalidDeclaration(
                f"Scaling.replicas must be a number or a pair of them, got {given!r}. Write replicas=(0, 3)."
            )
        least, most = pair
        if least < 0 or most < 1 or most < least:
            raise InvalidDeclaration(
                f"Scaling.replicas must be (least, most) with 0 <= least <= most and most >= 1, got {given!r}. Write"
                f" replicas=(0, 3)."
            )
        object.__setattr__(self, "replicas", pair)
        if self.metric is not None and not isinstance(self.metric, _Metric):
            raise InvalidDeclaration(
                f"Scaling.metric must be Scaling.Concurrency(n) or Scaling.RequestRate(n), got {self.metric!r}. Write"
                f" metric=Scaling.Concurrency(10)."
            )
        after = seconds(self.scaledown_after, "Scaling.scaledown_after")
        if after is not None and after < 0:
            raise InvalidDeclaration(
                f"Scaling.scaledown_after must not be negative, got {self.scaledown_after!r}. Write 300 for 5 minutes."
            )

    @property
    def least(self) -> int:
        """The smallest number of replicas."""
        return self.replicas[0]  # type: ignore[index]  # made a pair above

    @property
    def most(self) -> int:
        """The largest number of replicas."""
        return self.replicas[1]  # type: ignore[index]

    @property
    def scaledown_after_s(self) -> float | None:
        """`scaledown_after` in seconds."""
        return seconds(self.scaledown_after, "Scaling.scaledown_after")


def seconds(value: int | float | timedelta | None, name: str) -> float | None:
    """Read a time that may be given in seconds or as a `timedelta`."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise InvalidDeclaration(f"{name} must be seconds or a timedelta, got {value!r}. Write 300 for 5 minutes.")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
