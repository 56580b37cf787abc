"""Say for which slots a restarted ledger waits no longer.

Until all that live have attached, or are known to run nothing, nothing is handed out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from flyte_ray.ledger.state import ActionState

BEGIN_US: Final = 3_000_000
"""Time in which a slot that has begun attaches to a restarted ledger; the others wait for room."""
SILENT_US: Final = 60_000_000
"""Time after which a slot that holds work and does not attach is ended."""


def missing(expected: Mapping[str, str], actions: Iterable[ActionState], waited_us: int) -> tuple[list[str], list[str]]:
    """Sort out the slots that have not attached yet.

    Returns:
        Those that hold nothing on record (they have not begun, because Ray has no room for them yet), and those that
        must be ended.

    """
    holding = {action.slot for action in actions if action.slot in expected}
    unbegun = [name for name in expected if name not in holding] if waited_us > BEGIN_US else []
    return unbegun, [name for name in expected if name not in unbegun] if waited_us > SILENT_US else []
