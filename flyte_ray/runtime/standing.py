"""Say of a slot what the ledger chooses its work by, what it can take and what waits in it; and when it lends. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from flyte_ray.runtime.execution import Execution

WANT: Final = 1024
"""Most actions asked for at a time: a slot with nothing to do waits until all are chosen and carried."""
MOST: Final = 4 * WANT
"""Most that a slot has when it asks for more ahead."""
LOW: Final = MOST - WANT // 2
"""With fewer left to begin, more are asked for ahead: to choose and carry them takes as long as to run these."""
MOST_WAITING: Final = 500
"""With more executions that wait in it, a slot asks for nothing ahead."""
LEND_S: Final = 0.05
"""How long nothing must be runnable in a slot before it lends its CPU."""
LEND_LATER_S: Final = 0.3
"""The same where what it waits for may come to itself: Ray starts a process for whom it lends to, which takes a second
of the CPU, and a busy ledger answers late."""


@dataclass(frozen=True)
class Standing:
    """What a slot says of itself in a message; see `Message`."""

    want: int
    waiting: frozenset[str]
    lone: frozenset[str]
    buried: bool
    calling: bool
    active: str
    ahead: int


def stand(
    executions: Sequence[Execution], *, hungry: bool, active: bool, is_full: bool, buried: bool, ready: int
) -> Standing:
    """Describe a slot.

    Args:
        executions: What is in it; the first that runs is told.
        hungry: More could run in it, so that who waits is told.
        active: Anything runs in it.
        is_full: Nothing may begin above what waits.
        buried: A sync action has begun on its main thread.
        ready: Number of actions that it has and will begin one after the other; 0 where it asks for nothing ahead.

    """
    waits = [execution for execution in executions if execution.waiting] if hungry else []
    goes_on = 0 < ready <= LOW and len(executions) <= MOST_WAITING
    return Standing(
        WANT if hungry and not is_full else 0,
        frozenset(execution.id for execution in waits),
        frozenset(execution.id for execution in waits if len(execution.open_calls) == 1),
        buried,
        active and all(each.waiting or each.open_calls for each in executions),
        next((each.id for each in executions if not each.waiting), "") if active else "",
        min(WANT, MOST - ready) if goes_on and not (hungry or is_full) else 0,
    )


def lend_after_s(executions: Iterable[Execution], *, takes_more: bool) -> float:
    """Return how long nothing must be runnable in a slot before it lends its CPU, in seconds.

    Args:
        executions: What is in it.
        takes_more: Children of these may run in it.

    """
    needs_others = not takes_more or any(execution.needs_others for execution in executions)
    return LEND_S if needs_others else LEND_LATER_S
