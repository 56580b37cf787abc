"""Wait for the store inside a slot.

Invariants: an abort ends it; the ledger is told of it; it is no time that the action ran.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flyte_ray.runtime.context import current_action
from flyte_ray.runtime.failures import Aborted
from flyte_ray.storage.patient import Patience

if TYPE_CHECKING:
    from flyte_ray.runtime.slot import Slot


class StoreWait(Patience):
    """What a slot does while its store does not answer."""

    slot: Slot | None = None
    """Set when there is one: the code and the run's start are read before."""

    def __init__(
        self,
        name: str,
        tell: Callable[[str], None] = lambda reason: None,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """Wait in a slot.

        Args:
            name: The slot's id.
            tell: Takes the reason as long as there is no slot, empty when the wait is over.
            go_on: Raises when the slot is not needed any more.

        """
        super().__init__(f"slot {name}", self._look, self._tell, self._waited_for)
        self._early, self._go_on = tell, go_on

    def _look(self) -> None:
        action = current_action.get()
        if action is None:
            self._go_on()
        elif action.execution.cancelled is not None:
            raise Aborted(action.execution.cancelled)

    def _tell(self, reason: str | None) -> None:
        if self.slot is None:
            self._early(reason or "")
        else:
            self.slot.say_waits(reason)

    def _waited_for(self, seconds: float) -> None:
        action = current_action.get()
        if action is not None:
            action.execution.held_s -= seconds
