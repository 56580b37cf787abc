"""Hold what one attempt printed until the ledger is told, and bound how much that is.

Invariants: each character has a number, counted from 0 within its attempt, so that what is left out or told twice is
seen when it is read; the last characters of an attempt that has ended are told without a gap.
What it holds is redacted when it is taken, so that a secret that was printed in pieces is seen.
Knows nothing of streams and threads: writers append to `pieces`, which needs no lock; who takes holds `taking`.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from flyte_ray.runtime.redaction import redact, redact_cut, tail_of

BURST: Final = 64 * 1024
"""Characters that may be told at once."""
PER_S: Final = 1024
"""Characters per second that are told for as long as an attempt prints more than that."""
LAST: Final = 64 * 1024
"""Characters that are told at an attempt's end, whatever it has told."""


class Printed:
    """What an attempt printed, from its first character on."""

    def __init__(self, now: float) -> None:
        """Begin with nothing; `now` is in seconds, by any clock."""
        self.pieces: deque[str] = deque()
        """What was printed since the last `take`."""
        self.is_noted = False
        """Somebody is about to take."""
        self.is_over = False
        """The attempt has ended; what its threads print now is of nobody."""
        self.taking = threading.Lock()
        """Held by who takes, until it has handed on what it took."""
        self._taken = self._settled = 0
        """Characters taken, and those of them that were told or left out."""
        self._left_out = 0
        """Number of the first character behind the last that was left out."""
        self._recent = ""
        """The last that was taken."""
        self._may, self._since = float(BURST), now

    @property
    def has_more(self) -> bool:
        """Whether something is left that could not be told yet."""
        return self._settled < self._taken

    def take(self, now: float) -> tuple[int, str] | None:
        """Return what is to be told now: the number of its first character, and the text; None for nothing."""
        self._gather()
        self._may, self._since = min(BURST, self._may + (now - self._since) * PER_S), now
        wanted, most = self._taken - self._settled, int(self._may)
        if not wanted or (wanted > most and most < PER_S):
            return None
        told = self._recent[-min(wanted, most) :]
        if len(told) < wanted:
            told = _from_a_line(told)
            self._left_out = self._taken - len(told)
        self._may -= len(told)
        self._settled = self._taken
        return self._taken - len(told), told

    def end(self) -> tuple[int, str] | None:
        """Return what is to be told when the attempt has ended: its last characters again, if some were left out."""
        self.is_over = True
        self._gather()
        first = self._taken - len(self._recent)
        if self._settled < first or self._left_out > first:
            told = _from_a_line(self._recent) if first else self._recent
        else:
            told = self._recent[self._settled - first :]
        self._settled = self._taken
        return (self._taken - len(told), told) if told else None

    def _gather(self) -> None:
        fresh = redact("".join(self.pieces.popleft() for _ in range(len(self.pieces))))
        tail = 0 if self.is_over else tail_of(fresh)
        if tail:
            self.pieces.appendleft(fresh[-tail:])
            fresh = fresh[:-tail]
        fresh = redact_cut(fresh)
        self._taken += len(fresh)
        self._recent = (self._recent + fresh)[-LAST:]


def _from_a_line(text: str) -> str:
    """Leave out a line of which the beginning is missing, unless that would be all."""
    return text[text.find("\n") + 1 :] or text
