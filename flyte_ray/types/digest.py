"""Digest stored values by what they mean.

Invariants: equal values have equal digests in every process, whatever the order of keys; a pickle, of which that cannot
be said, enters as a fixed mark.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from flyte_ray.types.marks import ARROW_MARK, DICT_MARK, PICKLE_MARK, write_sorted
from flyte_ray.types.references import by_content, is_located

_SIGNS: Final = (*(f'"{mark}":' for mark in (PICKLE_MARK, ARROW_MARK, DICT_MARK)), '"path":')
"""Without one of these a stored form means what it says."""
_DIGITS: Final = 32


def digest_text(text: str) -> str:
    """Digest a canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def digest_of(raw: Any) -> str:
    """Digest a stored form."""
    text = write_sorted(raw)
    return digest_text(write_sorted(_canonical(raw)) if any(sign in text for sign in _SIGNS) else text)


def _canonical(part: Any) -> Any:
    if isinstance(part, dict):
        if PICKLE_MARK in part:
            return PICKLE_MARK
        if ARROW_MARK in part:
            return part["sha256"]
        if DICT_MARK in part:
            return {DICT_MARK: sorted((_canonical(pair) for pair in part[DICT_MARK]), key=write_sorted)}
        if is_located(part):
            return {**part, "path": by_content(part["path"])}
        return {key: _canonical(value) for key, value in part.items()}
    return [_canonical(value) for value in part] if isinstance(part, list) else part


def is_comparable(text: str) -> bool:
    """Tell whether equal values have equal stored forms, which pickles do not have."""
    return f'{{"{PICKLE_MARK}":' not in text
