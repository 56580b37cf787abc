"""Values whose stored form is one JSON scalar.

A naive datetime stays naive; one of a named time zone keeps the name. What numpy gives for a number, and a subclass of
`int` or `str`, is stored as the plain number or text where that is annotated.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final

from flyte_ray.types.form import Build, Form, MismatchError
from flyte_ray.types.large import INLINE_BYTES, get_bytes, put_bytes
from flyte_ray.types.marks import BYTES_MARK, CLASS_MARK, PICKLE_MARK
from flyte_ray.types.place import Blobs

_NUMPY_KINDS: Final = {int: "iu", float: "fiu", bool: "b", str: "U"}
_FOLD: Final = "fold"
"""Stands for a zone where a naive moment is the second one that clocks show so."""
_ZONED: Final = re.compile(r"(.*)\[([^\]]+)\]")
_DURATION: Final = re.compile(
    r"(-?)P(?:(\d+)Y)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?", re.ASCII
)


def scalar_form(cls: type) -> Form:
    """Describe `int`, `float`, `bool`, `str` or `None`: stored as they are."""
    name = "None" if cls is type(None) else cls.__name__

    def check(value: Any) -> None:
        if type(value) is not cls and not _passes(value, cls):
            raise MismatchError(name, value)

    def dump(value: Any, _: Blobs) -> Any:
        return value if type(value) is cls else _plain(value, cls)

    shape: Any = "null" if cls is type(None) else cls.__name__
    exactly = frozenset({cls})
    return Form(name, check, dump, lambda raw, _: raw, shape, exactly, exactly, verbatim=True)


def _passes(value: Any, cls: type) -> bool:
    if cls is type(None) or isinstance(value, bool):
        return False
    return isinstance(value, (cls, int) if cls is float else cls) or _is_numpy(value, cls)


def _is_numpy(value: Any, cls: type) -> bool:
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ != "ndarray" and value.dtype.kind in _NUMPY_KINDS[cls]


def _plain(value: Any, cls: type) -> Any:
    if cls is str:
        return str.__str__(value)
    return cls(value.item()) if type(value).__module__ == "numpy" else cls(value)


def kept_subclass(inner: Form, cls: type, build: Build) -> Form:
    """Describe values of a class, those of a subclass as what they are: nothing of them may be lost."""
    other = build(Any)

    def check(value: Any) -> None:
        if type(value) is cls:
            inner.check(value)
        elif not isinstance(value, cls):
            raise MismatchError(inner.name, value)

    def dump(value: Any, blobs: Blobs) -> Any:
        return inner.dump(value, blobs) if type(value) is cls else other.dump(value, blobs)

    def load(raw: Any, blobs: Blobs) -> Any:
        if type(raw) is dict and (CLASS_MARK in raw or PICKLE_MARK in raw):
            return other.load(raw, blobs)
        return inner.load(raw, blobs)

    # A subclass may be stored as anything: where that would look like a member of a union it says what it is.
    return Form(inner.name, check, dump, load, inner.shape, frozenset({cls}), told=inner.told)


def text_form(cls: type, build: Build) -> Form:
    """Describe a class of the standard library whose values are written as one text, see `TEXTS`."""
    to_text, from_text = TEXTS[cls]
    inner = Form(cls.__name__, lambda _: None, lambda value, _: to_text(value), lambda raw, _: from_text(raw), "str")
    return kept_subclass(inner, cls, build)


def bytes_form(cls: type, build: Build) -> Form:
    """Describe `bytes` or `bytearray`: base64, or an object beside the log if there are many."""
    inner = Form(cls.__name__, lambda _: None, dump_bytes, lambda raw, blobs: cls(load_bytes(raw, blobs)))
    return kept_subclass(inner, cls, build)


def dump_bytes(value: bytes | bytearray, blobs: Blobs) -> Any:
    """Store bytes."""
    if len(value) > INLINE_BYTES:
        data = bytes(value)
        return {BYTES_MARK: {**put_bytes(data, ".bin", blobs), "digest": hashlib.sha256(data).hexdigest()}}
    return base64.b64encode(value).decode()


def load_bytes(raw: Any, blobs: Blobs) -> bytes:
    """Read what `dump_bytes` stored."""
    return get_bytes(raw[BYTES_MARK], blobs) if isinstance(raw, dict) else base64.b64decode(raw)


def path_form(cls: type[PurePath]) -> Form:
    """Describe a path, which is stored as text: what lies there stays where it is."""

    def check(value: Any) -> None:
        if not isinstance(value, cls):
            raise MismatchError(cls.__name__, value)

    classes = frozenset({cls, type(cls())})
    return Form(cls.__name__, check, lambda value, _: str(value), lambda raw, _: cls(raw), "str", classes)


def complex_form(build: Build) -> Form:
    """Describe complex numbers: real and imaginary part."""

    def load(raw: Any, _: Blobs) -> complex:
        return complex(raw) if isinstance(raw, str) else complex(*raw)

    inner = Form("complex", lambda _: None, lambda value, _: [value.real, value.imag], load, "list")
    return kept_subclass(inner, complex, build)


def _moment_to_text(value: dt.datetime | dt.time) -> str:
    zone = getattr(value.tzinfo, "key", None)
    if value.fold and value.tzinfo is None:
        zone = _FOLD
    return f"{value.isoformat()}[{zone}]" if zone else value.isoformat()


def _moment_from_text(text: str) -> dt.datetime:
    zoned = _ZONED.fullmatch(text)
    if zoned is None:
        return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    moment = dt.datetime.fromisoformat(zoned[1])
    if zoned[2] == _FOLD:
        return moment.replace(fold=1)
    from zoneinfo import ZoneInfo  # only values of a named zone need the database

    # What the clock shows stays, also where the zone's clocks never show it, and where no year is left in UTC.
    shown = (moment.replace(tzinfo=ZoneInfo(zoned[2]), fold=fold) for fold in (0, 1))
    same = next((each for each in shown if each.utcoffset() == moment.utcoffset()), None)
    return same or moment.astimezone(ZoneInfo(zoned[2]))  # the zone's rules have changed


def _time_from_text(text: str) -> dt.time:
    zoned = _ZONED.fullmatch(text)
    if zoned is None:
        return dt.time.fromisoformat(text.replace("Z", "+00:00"))
    if zoned[2] == _FOLD:
        return dt.time.fromisoformat(zoned[1]).replace(fold=1)
    from zoneinfo import ZoneInfo  # see _moment_from_text

    return dt.time.fromisoformat(zoned[1]).replace(tzinfo=ZoneInfo(zoned[2]))


def _duration_to_text(value: dt.timedelta) -> str:
    sign, size = ("-", -value) if value.days < 0 and value != dt.timedelta.min else ("", value)
    if size.days < 0:
        return f"-P{-size.days}DT0S"  # the smallest one has no opposite, and is a whole number of days
    fraction = f".{size.microseconds:06}" if size.microseconds else ""
    return f"{sign}P{size.days}DT{size.seconds}{fraction}S"


def _duration_from_text(text: str) -> dt.timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"a duration is written as 'P1DT2.5S', got {text!r}")
    sign, years, days, hours, minutes, seconds, fraction = found.groups()
    whole = [int(part or 0) for part in (years, days, hours, minutes, seconds)]
    all_days = whole[0] * 365 + whole[1]
    signed = -1 if sign else 1
    rest = dt.timedelta(
        hours=whole[2], minutes=whole[3], seconds=whole[4], microseconds=int((fraction or "").ljust(6, "0"))
    )
    return dt.timedelta(days=signed * all_days) + signed * rest


TEXTS: Final[dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]]] = {
    dt.datetime: (_moment_to_text, _moment_from_text),
    dt.date: (dt.date.isoformat, dt.date.fromisoformat),
    dt.time: (_moment_to_text, _time_from_text),
    dt.timedelta: (_duration_to_text, _duration_from_text),
    Decimal: (str, Decimal),
    uuid.UUID: (str, uuid.UUID),
}
"""How values of a class are written, and read."""
