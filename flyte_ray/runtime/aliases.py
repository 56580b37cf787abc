"""Let `import flyte` mean this package, for programs that were written for Flyte.

Invariant: `flyte.x` is the very module `flyte_ray.x`, so that a class has one identity under both names.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Final

from flyte_ray.spec.setting import SETTINGS

AS_FLYTE: Final = SETTINGS["as_flyte"].variable
"""Variable that says so with 1; it travels with a run."""
_THEIRS: Final = "flyte"
_OURS: Final = __name__.partition(".")[0]


class _Ours(MetaPathFinder, Loader):
    """Finds our module where one of Flyte's is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _THEIRS and not fullname.startswith(f"{_THEIRS}."):
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what stands there when this returns.
        name = f"{_OURS}{module.__name__[len(_THEIRS) :]}"
        try:
            sys.modules[module.__name__] = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not error.name or not error.name.startswith(_OURS):
                raise
            said = f"'{module.__name__}' has no counterpart in flyte-ray: docs/flyte2.md says what to use instead."
            raise ModuleNotFoundError(said, name=module.__name__) from None


_finder: Final = _Ours()


def stand_in_for_flyte() -> None:
    """Have `import flyte` find this package, if the variable says so, also where Flyte itself is installed."""
    if os.environ.get(AS_FLYTE) == "1" and _finder not in sys.meta_path:
        for name in [name for name in sys.modules if name == _THEIRS or name.startswith(f"{_THEIRS}.")]:
            del sys.modules[name]
        sys.meta_path.insert(0, _finder)
