"""Suggest, for a name that does not exist, the nearest one that does."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: Any, known: Iterable[str], otherwise: str = "") -> str:
    """Return the question `Did you mean 'x'?`, or another sentence where no name is near."""
    near = difflib.get_close_matches(str(name), list(known), 1)
    return f"Did you mean '{near[0]}'?" if near else otherwise
