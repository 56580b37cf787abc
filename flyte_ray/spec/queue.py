"""Describe queues: by name, what of all runs of a cluster may begin at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from flyte_ray.errors import InvalidDeclaration

_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class QueueLimits:
    """What a queue lets begin, of the actions of all runs that one ledger holds."""

    name: str
    max_actions: int | None = None
    """How many of its actions run at a time, those left out that wait for actions of their own; None: any number."""
    priority: int = 0
    """Where others wait for the same hardware, the queue with the higher one has it; actions without a queue have 0."""
    rate: float | None = None
    """How many of its actions begin per second; None: any number."""

    def __post_init__(self) -> None:
        """Refuse what can never let anything begin, and names that are no file's."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidDeclaration(
                f"A queue's name must be 1 to 63 letters, digits, '.', '_' or '-', got {self.name!r:.80}. Write for"
                f" example 'gpu'."
            )
        if self.max_actions is not None and (not _is_whole(self.max_actions) or self.max_actions < 1):
            raise InvalidDeclaration(
                f"Queue '{self.name}': max_actions must be a whole number from 1 on, got {self.max_actions!r:.80}."
                f" Leave it out for no limit."
            )
        if not _is_whole(self.priority):
            raise InvalidDeclaration(
                f"Queue '{self.name}': priority must be a whole number, got {self.priority!r:.80}."
            )
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise InvalidDeclaration(
                f"Queue '{self.name}': rate must be more than 0 actions per second, got {self.rate!r:.80}. Leave it out"
                f" for no limit."
            )


def parse_rate(text: str) -> float:
    """Read `10/s`, `30/m` or `5/h` as actions per second.

    Raises:
        ValueError: It has another form.

    """
    found = _RATE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"expected a rate such as 10/s, 30/m or 5/h, got {text!r:.80}")
    return float(found[1]) / _SECONDS[found[2]]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
