"""The number of this package's version; where a change counts for every user."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
