"""Tell the user's code from what is installed and from this package, by where a file lies."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Final

_LIBRARY: Final = tuple(
    f"{folder}{os.sep}"
    for folder in {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_OWN: Final = f"{Path(__file__).parents[1]}{os.sep}"


def is_installed(file: str) -> bool:
    """Whether a file is of Python's library or of an installed package."""
    return file.startswith(_LIBRARY) or not _INSTALLED.isdisjoint(file.split(os.sep))


def is_own(file: str) -> bool:
    """Whether a file is of this package."""
    return file.startswith(_OWN)


def is_project_file(file: str | None) -> bool:
    """Whether a file is the user's; None stands for code without one."""
    return file is not None and not is_installed(file) and not is_own(file)
