"""Digest stored values by what they mean.

Invariants: equal values have equal digests in every process, whatever the order of keys; a pickle, of which that cannot
be said, enters as a fixed mark.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from flyte_ray.types.marks import (
    ARROW_MARK,
    BYTES_MARK,
    DATASET_MARK,
    DICT_MARK,
    HASH_MARK,
    JSON_MARK,
    NPY_MARK,
    ORDER,
    PICKLE_MARK,
    TORCH_MARK,
    utf8,
    write_sorted,
)
from flyte_ray.types.references import identity_of, is_located
from flyte_ray.types.signing import signer_of

_REFERRING: Final = (JSON_MARK, BYTES_MARK, NPY_MARK, TORCH_MARK)
_UNEQUAL: Final = (PICKLE_MARK, DATASET_MARK)
"""What may have another stored form in each process."""
_SIGNS: Final = (*(f'"{mark}":' for mark in (*_UNEQUAL, ARROW_MARK, DICT_MARK, HASH_MARK, *_REFERRING)), '"path":')
"""Without one of these a stored form means what it says."""
_DIGITS: Final = 32


def digest_text(text: str) -> str:
    """Digest a canonical text."""
    return hashlib.sha256(utf8(text)).hexdigest()[:_DIGITS]


def digest_of(raw: Any) -> str:
    """Digest a stored form."""
    text = write_sorted(raw)
    return digest_text(write_sorted(_canonical(raw)) if any(sign in text for sign in _SIGNS) else text)


def _canonical(part: Any) -> Any:
    if isinstance(part, dict):
        if HASH_MARK in part:
            return {HASH_MARK: part[HASH_MARK]}
        for mark in _UNEQUAL:
            if mark in part:
                return mark
        if ARROW_MARK in part:
            return {ARROW_MARK: part["sha256"]}
        for mark in _REFERRING:
            if isinstance(part.get(mark), dict):
                return {mark: part[mark]["digest"]}
        if DICT_MARK in part and ORDER not in part:
            return {DICT_MARK: sorted((_canonical(pair) for pair in part[DICT_MARK]), key=write_sorted)}
        if is_located(part):
            return identity_of(part)
        return {key: _canonical(value) for key, value in part.items()}
    return [_canonical(value) for value in part] if isinstance(part, list) else part


def is_comparable(text: str) -> bool:
    """Tell of a stored form's JSON whether equal values have equal ones, which pickles do not have."""
    return not any(sign in text for sign in _SIGNS) or is_comparable_raw(json.loads(text))


def is_comparable_raw(part: Any) -> bool:
    """Tell of a stored form whether equal values have equal ones."""
    if isinstance(part, dict):
        if HASH_MARK in part:
            return True
        if any(mark in part for mark in _UNEQUAL) or (JSON_MARK in part and "pickled" in part[JSON_MARK]):
            return False
        return all(is_comparable_raw(value) for value in part.values())
    return all(is_comparable_raw(value) for value in part) if isinstance(part, list) else True


def signers(part: Any) -> set[str]:
    """Return the ids of the keys that the pickles in a stored form are signed with; an empty one for none."""
    if isinstance(part, dict):
        found = {signer_of(part[PICKLE_MARK])} if PICKLE_MARK in part else set[str]()
        inside = part[JSON_MARK].get("pickled", ()) if isinstance(part.get(JSON_MARK), dict) else ()
        found |= {""} if inside is True else set(inside)  # what did not name them did not sign them
        return found.union(*map(signers, part.values()))
    return set[str]().union(*map(signers, part)) if isinstance(part, list) else set()
