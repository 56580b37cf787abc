"""Keep the secrets that this process holds out of whatever it says and records.

In texts (what is printed, errors, reports) a secret is replaced; a value is refused, because one that was changed
behind its owner's back would be worse. Known are the secret itself and what escaping, URLs, HTML, hex and base64 make
of it.

Invariants: a process that holds none pays one look at an empty tuple; what is held is never forgotten by a slot's
process, which may print it as long as it lives. Values shorter than `SHORTEST` characters are not looked for: they
stand in every other text.
"""

from __future__ import annotations

import base64
import html
import json
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

from flyte_ray.errors import NonRecoverableError

MASK: Final = "***"
SHORTEST: Final = 4
"""Characters of the shortest secret that is looked for."""
_LINE: Final = 8
"""Characters from which on a line of a longer secret, such as a PEM file, is looked for by itself."""
_BEGIN: Final = 16
"""Characters of a longer secret's begin that are looked for by themselves in texts: messages cut what they quote."""
_CODE: Final = "SecretInValue"
_held: Counter[tuple[str, bytes]] = Counter()
_changing: Final = threading.Lock()
_texts: tuple[str, ...] = ()
"""All forms of all secrets held, the longest first."""
_forms: tuple[tuple[bytes, str], ...] = ()
"""The same as bytes, with the names of their secrets."""


def hold(values: Mapping[str, bytes]) -> None:
    """Look for these secrets from now on, by name."""
    with _changing:
        _held.update(values.items())
        _renew()


def forget(values: Mapping[str, bytes]) -> None:
    """Undo one `hold`."""
    with _changing:
        _held.subtract(values.items())
        for item in [item for item, count in _held.items() if count <= 0]:
            del _held[item]
        _renew()


@contextmanager
def holding(values: Mapping[str, bytes]) -> Iterator[None]:
    """Look for these secrets while this is open."""
    hold(values)
    try:
        yield
    finally:
        forget(values)


def _renew() -> None:
    global _texts, _forms
    found = {form: name for name, value in _held for form in forms_of(value)}
    _texts = tuple(sorted(found, key=len, reverse=True))
    _forms = tuple((form.encode("utf-8", "surrogateescape"), found[form]) for form in _texts)


def forms_of(value: bytes) -> set[str]:
    """Return the texts in which a secret may show."""
    text = value.decode("utf-8", "surrogateescape").rstrip("\n")
    lines = (line.strip() for line in text.splitlines())
    # What frames a PEM file stands in everybody's.
    parts = {text, *(line for line in lines if len(line) >= _LINE and not line.startswith("-----"))}
    found: set[str] = set()
    for part in parts:
        if len(part) < SHORTEST:
            continue
        raw = part.encode("utf-8", "surrogateescape")
        found |= {part, repr(part)[1:-1], json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]}
        found |= {urllib.parse.quote(raw), urllib.parse.quote(raw, safe=""), urllib.parse.quote_plus(raw)}
        found |= {html.escape(part), html.escape(part).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")}
        found |= {raw.hex(), raw.hex().upper(), *_in_base64(raw)}
    return found


def _in_base64(raw: bytes) -> Iterator[str]:
    """Give what of a secret shows in base64 of any text that holds it: it may begin at any of three places."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode()
        first, last = -(-before * 4 // 3), (before + len(raw)) * 4 // 3
        core = whole[first:last]
        if len(core) >= SHORTEST + 1:
            yield core
            yield core.replace("+", "-").replace("/", "_")


def redact(text: str) -> str:
    """Replace the secrets in a text."""
    for form in _texts:
        if form in text:
            text = text.replace(form, MASK)
    return text


def redact_bytes(data: bytes) -> bytes:
    """Replace the secrets in bytes."""
    for form, _ in _forms:
        if form in data:
            data = data.replace(form, MASK.encode())
    return data


def redact_cut(text: str) -> str:
    """Replace the secrets in a whole text, also those of which only the begin stands there."""
    return _without_begins(redact(text), _texts, MASK) if _texts else text


def redact_cut_bytes(data: bytes) -> bytes:
    """Do the same for bytes."""
    return _without_begins(redact_bytes(data), [form for form, _ in _forms], MASK.encode()) if _forms else data


def _without_begins(text: Any, forms: Sequence[Any], mask: Any) -> Any:
    for begin in dict.fromkeys(form[:_BEGIN] for form in forms if len(form) > _BEGIN):
        at = text.find(begin)
        while at >= 0:
            # Forms of one secret begin alike, and which of them was cut shows in how far it goes.
            shown = max(_agreeing(text, at, form) for form in forms if form.startswith(begin))
            text = text[:at] + mask + text[at + shown :]
            at = text.find(begin, at + len(mask))
    return text


def _agreeing(text: Any, at: int, form: Any) -> int:
    """Count the characters that a form and a text from here on have in common."""
    pairs = enumerate(zip(text[at : at + len(form)], form, strict=False))
    return next((number for number, (shown, meant) in pairs if shown != meant), min(len(text) - at, len(form)))


def redact_json(raw: Any) -> Any:
    """Replace the secrets in what `json` writes; a number in which one shows is text then."""
    if not _texts:
        return raw
    match raw:
        case str():
            return redact(raw)
        case dict():
            return {redact_json(key): redact_json(value) for key, value in raw.items()}
        case list() | tuple():
            return [redact_json(each) for each in raw]
        case bool() | None:
            return raw
    text = json.dumps(raw)
    return MASK if redact(text) != text else raw


def shown_in(data: bytes | str) -> str:
    """Return the name of a secret that shows in this; empty if none does."""
    if not _forms:
        return ""
    raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return next((name for form, name in _forms if form in raw), "")


def refuse(data: bytes | str | None, what: str) -> None:
    """Raise unless this may be recorded.

    Raises:
        NonRecoverableError: A secret shows in it.

    """
    name = shown_in(data) if data and _forms else ""
    if name:
        raise NonRecoverableError(
            f"{what[0].upper()}{what[1:]} must not hold a secret, because it is stored, and holds '{name}'. Hand on its"
            f" name, and ask for it where it is used, with flyte.Secret in that task's environment.",
            _CODE,
        )


def tail_of(text: str) -> int:
    """Count the characters at a text's end that may be the begin of a secret; the rest of it may follow."""
    return max((_overlap(text, form) for form in _texts), default=0)


def _overlap(text: Any, form: Any) -> int:
    length: int = len(text)
    at: int = max(0, length - len(form) + 1)
    while (at := text.find(form[:1], at)) >= 0:  # large secrets have many sizes, few of which begin right
        if form.startswith(text[at:]):
            return length - at
        at += 1
    return 0


def tail_of_bytes(data: bytes) -> int:
    """Do the same for bytes."""
    return max((_overlap(data, form) for form, _ in _forms), default=0)


class Look:
    """Looks whether a secret shows in what comes piece by piece."""

    def __init__(self, what: str) -> None:
        """Look at nothing yet; `what` names it for the sentence that refuses it."""
        self._what, self._last = what, b""
        self._overlap = max((len(form) for form, _ in _forms), default=1) - 1

    def at(self, data: Any) -> None:
        """Look at the next piece.

        Raises:
            NonRecoverableError: A secret shows.

        """
        if self._overlap:
            seen = self._last + bytes(data)
            refuse(seen, self._what)
            self._last = seen[-self._overlap :]


class _Looked:
    """A file that takes no secrets."""

    def __init__(self, file: IO[bytes], what: str) -> None:
        self._file, self._look = file, Look(what)

    def write(self, data: Any) -> int:
        self._look.at(data)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def looked(file: IO[bytes], what: str) -> IO[bytes]:
    """Return a file to write to that takes no secrets, which is the same one where none are held."""
    found: Any = _Looked(file, what) if _forms else file
    return found  # type: ignore[no-any-return]


def too_short(values: Mapping[str, bytes]) -> list[str]:
    """Name the secrets that are too short to be looked for."""
    return [name for name, value in values.items() if len(value.strip()) < SHORTEST]
