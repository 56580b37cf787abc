"""When something is to happen again: by cron, or at a fixed rate. Pure: every moment comes from outside.

Invariant: what exists can fire.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Final

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.cron import moments, parse_cron

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Cron:
    """Fires when a clock shows what five fields say: minute, hour, day of the month, month, day of the week.

    Raises:
        InvalidDeclaration: The expression is none, or can never fire; or there is no such time zone.

    Source: `flyte.Cron`; fields as of Debian's cron: where neither day starts with `*`, one of them has to fit.

    """

    expression: str
    timezone: str = "UTC"
    """Name of the zone whose clocks count, such as `Europe/Zurich`."""

    def __post_init__(self) -> None:
        """Check what the user wrote."""
        zone = _zone(self.timezone)
        if not isinstance(self.expression, str):
            raise TypeError(f"Cron expects text such as '0 9 * * *', got {self.expression!r:.80}.")
        try:
            fields = parse_cron(self.expression)
        except ValueError as error:
            raise InvalidDeclaration(
                f"Cron expects five fields, 'minute hour day-of-month month day-of-week', got {self.expression!r}:"
                f" {error}. Write for example '0 9 * * 1-5' for 9:00 from Monday to Friday."
            ) from error
        if next(moments(fields, datetime(2026, 1, 1, tzinfo=timezone.utc), zone), None) is None:
            raise InvalidDeclaration(
                f"Cron {self.expression!r} can never fire: no month that it names has such a day. Correct day and"
                f" month."
            )

    def __str__(self) -> str:
        """Write it as Flyte's control plane does."""
        return f"CRON_TZ={self.timezone} {self.expression}"


@dataclass(frozen=True)
class FixedRate:
    """Fires each so many minutes.

    Raises:
        InvalidDeclaration: The interval is no whole number of at least 1, or the start no datetime.

    Source: `flyte.FixedRate`.

    """

    interval_minutes: int
    start_time: datetime | None = None
    """The first fire, UTC if it has no zone; None: one interval after activation."""

    def __post_init__(self) -> None:
        """Check what the user wrote."""
        minutes = self.interval_minutes
        if isinstance(minutes, bool) or not isinstance(minutes, int) or minutes < 1:
            raise InvalidDeclaration(
                f"FixedRate.interval_minutes must be a whole number of at least 1, got {minutes!r}. Write 60 for"
                f" an hour."
            )
        if self.start_time is not None and not isinstance(self.start_time, datetime):
            raise InvalidDeclaration(
                f"FixedRate.start_time must be a datetime, got {self.start_time!r:.80}. Write datetime(2026, 1, 31, 9)."
            )

    def __str__(self) -> str:
        """Say it to people."""
        start = f" from {_utc(self.start_time).isoformat(timespec='seconds')}" if self.start_time else ""
        return f"every {self.interval_minutes} min{start}"


Automation = Cron | FixedRate


def fires(automation: Automation, after: datetime, until: datetime, activated: datetime) -> Iterator[datetime]:
    """Yield when an automation fires after one moment, up to and with another one, in UTC and in order.

    Args:
        automation: It.
        after: With a zone.
        until: With a zone.
        activated: From when on a rate without a start counts.

    """
    if isinstance(automation, FixedRate):
        start, interval = _start(automation, activated), timedelta(minutes=automation.interval_minutes)
        fire = start + max((_utc(after) - start) // interval + 1, 0 if automation.start_time else 1) * interval
        while fire <= until:
            yield fire
            fire += interval
        return
    for fire in moments(parse_cron(automation.expression), after, _zone(automation.timezone)):
        if fire > until:
            return
        yield fire


def next_fire(automation: Automation, after: datetime, activated: datetime) -> datetime | None:
    """Return when an automation fires next after a moment, in UTC; None if the calendar ends before."""
    return next(fires(automation, after, datetime.max.replace(tzinfo=timezone.utc), activated), None)


def last_fire(automation: Automation, after: datetime, until: datetime, activated: datetime) -> datetime | None:
    """Return the last fire after one moment, up to and with another one; None if there is none."""
    if isinstance(automation, FixedRate):
        start, interval = _start(automation, activated), timedelta(minutes=automation.interval_minutes)
        found = start + ((_utc(until) - start) // interval) * interval
        first = next(fires(automation, after, until, activated), None)
        return found if first is not None and found >= first else None
    # Backwards in steps that double, because forwards it may be a year of minutes.
    step = timedelta(hours=1)
    while True:
        begin = max(_utc(until) - step, _utc(after))
        last: datetime | None = None
        for fire in fires(automation, begin, until, activated):
            last = fire
        if last is not None or begin <= after:
            return last
        step *= 8


def dump_automation(automation: Automation | None) -> dict[str, Any] | None:
    """Write an automation as JSON."""
    if automation is None:
        return None
    if isinstance(automation, Cron):
        return {"kind": "cron", "expression": automation.expression, "timezone": automation.timezone}
    start = _utc(automation.start_time).isoformat() if automation.start_time else None
    return {"kind": "rate", "interval_minutes": automation.interval_minutes, "start_time": start}


def load_automation(raw: dict[str, Any] | None) -> Automation | None:
    """Read what `dump_automation` wrote."""
    if raw is None:
        return None
    if raw["kind"] == "cron":
        return Cron(raw["expression"], raw["timezone"])
    start = raw["start_time"]
    return FixedRate(raw["interval_minutes"], datetime.fromisoformat(start) if start else None)


def at(us: int) -> datetime:
    """Return the moment of so many microseconds since the epoch, in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def us_of(moment: datetime) -> int:
    """Return a moment in microseconds since the epoch; one without a zone is UTC."""
    return (_utc(moment) - _EPOCH) // timedelta(microseconds=1)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return timezone.utc  # also where the system has no database of zones
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError, AttributeError) as error:
        raise InvalidDeclaration(
            f"Cron.timezone must be the name of a time zone, got {name!r:.80}. Write for example 'Europe/Zurich', or"
            f" 'UTC'."
        ) from error


def _start(rate: FixedRate, activated: datetime) -> datetime:
    return _utc(rate.start_time or activated)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
