"""Bound how long an action may go on after it was aborted or ran out of time: then its slot's process is ended.

Such an action is interrupted by an exception in its code. A long call into C does not let that in, and one that
holds Python's lock does not even let its slot answer; so the ledger looks at the clock, not the slot.

Invariant: an aborted action that waits beneath others on its slot's stack is no reason to end them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from flyte_ray.ledger.book import RunBook
from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.losses import ENDED, Loss
from flyte_ray.spec.phase import ActionPhase

GRACE_S: Final = 5.0
"""How long an aborted action may take to stop."""


class Grace:
    """Watches the slots of all runs."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        """Watch by the ledger's clock."""
        self._now_us = now_us
        self._since: dict[tuple[str, str], int] = {}
        self._leaving: dict[str, int] = {}
        self._ended: dict[str, str] = {}

    def leave(self, slots: Iterable[Slot]) -> None:
        """Watch slots whose run has ended: those that run something must stop, too."""
        self._leaving.update((slot.id, self._now_us()) for slot in slots if slot.running)

    def overdue(self, books: Iterable[RunBook]) -> list[str]:
        """Return the slots whose process must be ended now, each one once."""
        now_us = self._now_us()
        stay = [(slot.id, _overstaying(book, slot)) for book in books for slot in book.slots.values() if slot.running]
        self._since = {key: self._since.get(key, now_us) for key in stay if key[1]}
        late = {slot: action for (slot, action), since in self._since.items() if now_us - since > GRACE_S * 1e6}
        late.update({slot: "" for slot, since in self._leaving.items() if now_us - since > GRACE_S * 1e6})
        found = [slot for slot in late if slot not in self._ended]
        self._ended.update(late)
        return found

    def took(self, slot: str, loss: Loss) -> Loss:
        """Forget a slot that is gone; return how it was lost, which is `loss` unless it was ended here."""
        self._leaving.pop(slot, None)
        action = self._ended.pop(slot, None)
        if action is None:
            return loss
        ended = f"it was ended, because action {action} went on for {GRACE_S:g} s after it was stopped"
        return Loss(ended if action else loss.reason, ENDED)


def _overstaying(book: RunBook, slot: Slot) -> str:
    """The action that a slot runs, if its attempt was aborted or ran out of time; else empty."""
    # A slot that began a call into C at once has not said what it runs: the first thing that it got and that waits not.
    name = slot.active or next((each for each in slot.running if each not in slot.waiting), "")
    action = book.state.actions.get(name)
    is_over = action is not None and action.phase is not ActionPhase.RUNNING
    return name if is_over and name in slot.running else ""
