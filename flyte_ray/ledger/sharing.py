"""Decide who gives slots back, where one queue keeps another waiting: of another run, or of another shape of the run.

Invariants: what runs is never ended for it, a slot gives way when it has finished what it has; only slots that hold
what the other lacks give way; nobody falls below an equal share, or, where there are more queues than slots, below its
turn. Pure: the clock's time is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from flyte_ray.spec.ids import RunId

STARVED_US: Final = 30_000
"""How long a slot may wait for its resources before others give way."""
TURN_US: Final = 1_000_000
"""How long a slot serves at least before it gives way to a queue that has none: a new process costs as much."""


@dataclass
class Party:
    """A run's queue of one shape, with the slots that serve it."""

    run: RunId
    shape: str
    holds: frozenset[str]
    """Names of the resources that its slots hold while they run."""
    slots_since_us: list[int] = field(default_factory=list)
    """When each slot attached that holds its resources; those that wait have lent them."""
    giving: int = 0
    """Slots that give way already and have not ended."""
    starting_since_us: list[int] = field(default_factory=list)
    """When each slot was asked for that has not attached."""
    scarce: frozenset[str] = frozenset()
    """What is not free at the moment of all that such a slot needs."""


@dataclass(frozen=True)
class Concession:
    """What a party gives to others."""

    party: Party
    slots: int
    """How many slots it gives back."""


def lacked(parties: Sequence[Party], now_us: int) -> frozenset[str]:
    """Return the resources for which somebody has waited for too long."""
    waiting = (each.scarce for each in parties if any(now_us - us > STARVED_US for us in each.starting_since_us))
    return frozenset(name for scarce in waiting for name in scarce)


def concessions(parties: Sequence[Party], now_us: int) -> list[Concession]:
    """Return who gives back how many slots now, and may not ask for more meanwhile; 0 for who has its share only."""
    given: dict[int, int] = {}
    for starved in sorted(parties, key=lambda party: len(party.slots_since_us)):
        if not starved.scarce or not any(now_us - since > STARVED_US for since in starved.starting_since_us):
            continue
        others = [each for each in parties if each is not starved]
        rivals = [each for each in others if each.slots_since_us and each.holds & starved.scarce]
        if not rivals:
            continue
        share = (sum(len(each.slots_since_us) for each in rivals) + len(starved.slots_since_us)) // (len(rivals) + 1)
        if starved.slots_since_us and len(starved.slots_since_us) >= share:
            continue
        for each in rivals:
            if len(each.slots_since_us) >= max(share, 1):
                given.setdefault(id(each), 0)  # it may not take what is given back
        if any(each.giving for each in rivals):
            continue
        richest = max(rivals, key=lambda party: (len(party.slots_since_us), -min(party.slots_since_us)))
        had_its_turn = now_us - min(richest.slots_since_us) > TURN_US
        if len(richest.slots_since_us) > max(share, 1) or (not starved.slots_since_us and had_its_turn):
            given[id(richest)] = given.get(id(richest), 0) + 1
    return [Concession(party, given[id(party)]) for party in parties if id(party) in given]
