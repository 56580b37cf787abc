"""Read points in time and durations as people write them on a command line.

Invariant: a point in time is aware; one written without a zone is UTC, so that it means the same on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Final

DURATION_FORMS: Final = "a duration such as '10 minutes', '1:24' (minutes and seconds) or 'PT5M'"
MOMENT_FORMS: Final = "a time such as '2026-01-31T12:00', 'now', 'today' or 'now - 1 day'"
_NUMBER: Final = r"\d+(?:\.\d+)?"
_SECONDS: Final = {
    **dict.fromkeys(("w", "week", "weeks"), 604_800.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 0.001),
}
_PART: Final = re.compile(rf"({_NUMBER})\s*([a-z]*)")
_PARTS: Final = re.compile(rf"{_NUMBER}\s*[a-z]*(?:[\s,]+(?:and\s+)?{_NUMBER}\s*[a-z]+|{_NUMBER}\s*[a-z]+)*")
_CLOCK: Final = re.compile(r"(?:(?:(\d+):)?(\d*)):(\d{1,2}(?:\.\d+)?)")
_ISO: Final = re.compile(
    rf"P(?=.)(?:({_NUMBER})W)?(?:({_NUMBER})D)?(?:T(?=.)(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?"
)
_ISO_SECONDS: Final = (604_800.0, 86_400.0, 3_600.0, 60.0, 1.0)
_SHIFTED: Final = re.compile(r"(.+?)\s+([+-])\s+(.+)")


def parse_duration(text: str) -> timedelta:
    """Read `10 minutes`, `1h 30m`, `1:24`, `:22`, `1:02:03`, `PT5M`, or a number of seconds; `-` in front is allowed.

    Raises:
        ValueError: The text is none of these.

    """
    words = text.strip()
    negative = words.startswith("-")
    words = words[1:].lstrip() if negative else words
    try:
        total = timedelta(seconds=_seconds(words))
    except (ValueError, OverflowError, KeyError) as error:
        raise ValueError(f"expected {DURATION_FORMS}, got {text!r}") from error
    return -total if negative else total


def _seconds(words: str) -> float:
    if found := _ISO.fullmatch(words.upper()):
        return sum(float(part or 0) * unit for part, unit in zip(found.groups(), _ISO_SECONDS, strict=True))
    if found := _CLOCK.fullmatch(words):
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds
    if not _PARTS.fullmatch(words.lower()):
        raise ValueError(words)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(words.lower()))


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def parse_moment(text: str, now: Callable[[], datetime] = _utc_now) -> datetime:
    """Read an ISO 8601 time, `now` or `today` (midnight, UTC), each with `+` or `-` and a duration behind it.

    Raises:
        ValueError: The text is none of these.

    """
    words = text.strip()
    try:
        if shifted := _SHIFTED.fullmatch(words):
            distance = parse_duration(shifted[3])
            return _point(shifted[1], now) + (distance if shifted[2] == "+" else -distance)
        return _point(words, now)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"expected {MOMENT_FORMS}, got {text!r}") from error


def _point(words: str, now: Callable[[], datetime]) -> datetime:
    if words.lower() == "now":
        return now()
    if words.lower() == "today":
        return now().replace(hour=0, minute=0, second=0, microsecond=0)
    # Python 3.10 does not read the Z of Zulu time.
    found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", words))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
