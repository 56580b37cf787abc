"""Read cron's five fields, and find the moments when clocks show what they say. Pure.

Across daylight saving time this follows Debian's cron: what is set to times of day (neither minute nor hour begins with
`*`) fires once per time and day, where clocks skip it right after the gap, where they show it twice at the first. All
else goes by elapsed time: what clocks skip is left out, what they show twice fires twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_HORIZON: Final = timedelta(days=50 * 366)
"""What fires at all fires in half a century, such as on a February 29 that is a Sunday."""
_SLACK: Final = timedelta(hours=4)
"""More than a clock is ever put back."""
_MINUTE: Final = timedelta(minutes=1)


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, ("", *_MONTHS)),
    _Field("day of the week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True)
class Fields:
    """What the clocks are to show."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    both_days: bool
    """Day and weekday have to fit; else one of them."""
    is_fixed: bool
    """Set to times of day."""

    def has(self, day: date) -> bool:
        """Tell whether it fires on a day."""
        if day.month not in self.months:
            return False
        fits = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return all(fits) if self.both_days else any(fits)


def parse_cron(expression: str) -> Fields:
    """Read five fields: numbers, `*`, ranges, steps (`*/15`, `8-18/2`), lists, names of months and weekdays.

    Raises:
        ValueError: It says something else; the message says which field.

    """
    texts = expression.split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"it has {len(texts)} fields")
    minutes, hours, days, months, weekdays = (_parse(text, field) for text, field in zip(texts, _FIELDS, strict=True))
    return Fields(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(day % 7 for day in weekdays),
        both_days=texts[2].startswith("*") or texts[4].startswith("*"),
        is_fixed=not (texts[0].startswith("*") or texts[1].startswith("*")),
    )


def _parse(text: str, field: _Field) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, field, None) if slash else 1
        first_text, dash, last_text = span.partition("-")
        if span == "*":
            first, last = field.least, field.most - (field.most == 7)
        else:
            first = _number(first_text, field, field.least)
            last = _number(last_text, field, field.least) if dash else field.most if slash else first
        if step < 1 or not field.least <= first <= last <= field.most:
            raise ValueError(f"its {field.name} must lie in {field.least} to {field.most}, got {part!r}")
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, field: _Field, least: int | None) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    if least is not None and text.lower() in field.words and text:
        return field.words.index(text.lower())
    raise ValueError(f"its {field.name} must be a number, '*', a range, a step or a list of these, got {text!r}")


def moments(fields: Fields, after: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Yield when the clocks of a zone show what the fields say, after a moment, in UTC and in order.

    It ends where half a century goes by without.
    """
    last = after.astimezone(timezone.utc)
    local = after.astimezone(zone).replace(tzinfo=None)
    begin = local - _SLACK
    day, end = begin.date(), local.date() + _HORIZON
    while day < end:
        if fields.has(day):
            for moment in sorted(_of_day(fields, day, begin, zone)):
                if moment > last:
                    last, end = moment, day + _HORIZON
                    yield moment
        if day == date.max:
            return
        day += timedelta(days=1)


def _of_day(fields: Fields, day: date, begin: datetime, zone: tzinfo) -> Iterator[datetime]:
    midnight = datetime(day.year, day.month, day.day)
    walls = (midnight.replace(hour=hour, minute=minute) for hour in fields.hours for minute in fields.minutes)
    later = (wall for wall in walls if wall >= begin)
    offset = _steady_offset(midnight, zone)
    if offset is not None:
        yield from ((wall - offset).replace(tzinfo=timezone.utc) for wall in later)
        return
    for wall in later:
        yield from _shown(wall, fields.is_fixed, zone)


def _steady_offset(midnight: datetime, zone: tzinfo) -> timedelta | None:
    """Return how far the clocks of a zone are ahead of UTC on a day, and around it; None if that changes."""
    hours = (-6, 0, 6, 12, 18, 24, 30)
    found = {zone.utcoffset((midnight + timedelta(hours=hour)).replace(tzinfo=zone)) for hour in hours}
    return found.pop() if len(found) == 1 else None


def _shown(wall: datetime, is_fixed: bool, zone: tzinfo) -> Iterator[datetime]:
    """Yield the moments at which clocks show a time: none in a gap, two where they are put back."""
    found = {moment for fold in (0, 1) if (moment := _moment(wall.replace(fold=fold), zone)) is not None}
    if not is_fixed:
        yield from found
        return
    while not found:  # a gap: what comes right after it
        wall += _MINUTE
        found = {moment} if (moment := _moment(wall, zone)) is not None else set()
    yield min(found)


def _moment(wall: datetime, zone: tzinfo) -> datetime | None:
    moment = wall.replace(tzinfo=zone).astimezone(timezone.utc)
    return moment if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall.replace(fold=0) else None
