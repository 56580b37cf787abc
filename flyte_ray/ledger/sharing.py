"""Decide who gives slots back, where one queue keeps another waiting: of another run, or of another shape of the run.

Invariants: what runs is never ended for it, a slot gives way when it has finished what it has; only slots that hold
what the other lacks give way. Whoever has a lower priority gives all it has. Of equal priority each owner has an equal
share, and so has each queue of an owner: nobody falls below that, or, where there are more of them than slots, below
its turn. Pure: the clock's time is passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

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
    priority: int = 0
    owner: str = ""
    """Whose run it is."""


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
        rivals = [
            each for each in parties if each is not starved and each.slots_since_us and each.holds & starved.scarce
        ]
        circle = _circle(starved, rivals)
        for each in circle.givers:
            if circle.has(each) >= max(circle.share, 1):
                given.setdefault(id(each), 0)  # it may not take what is given back
        if not circle.givers or any(each.giving for each in circle.givers):
            continue
        richest = max(circle.givers, key=lambda party: _wealth(party, circle))
        had_its_turn = now_us - min(richest.slots_since_us) > TURN_US
        must_give = circle.has(richest) > max(circle.share, 1) or richest.priority < starved.priority
        if must_give or (circle.is_poor and had_its_turn):
            given[id(richest)] = given.get(id(richest), 0) + 1
    return [Concession(party, given[id(party)]) for party in parties if id(party) in given]


class _Circle(NamedTuple):
    """Who is to share with a starved party."""

    givers: Sequence[Party]
    share: int
    """Slots down to which they give."""
    has: Callable[[Party], int]
    """How many slots count for one of them."""
    is_poor: bool
    """Whether there are none on the starved one's side, so that a turn is due to it."""


def _circle(starved: Party, rivals: Sequence[Party]) -> _Circle:
    lower = [each for each in rivals if each.priority < starved.priority]
    if lower:
        return _Circle(lower, 0, _size, True)
    peers = [each for each in rivals if each.priority == starved.priority]
    of_owner: Counter[str] = Counter({starved.owner: _size(starved)})
    for each in peers:
        of_owner[each.owner] += _size(each)
    mine, share = of_owner[starved.owner], of_owner.total() // len(of_owner)
    if len(of_owner) > 1 and (mine < share or not mine):
        others = [each for each in peers if each.owner != starved.owner]
        return _Circle(others, share, lambda party: of_owner[party.owner], not mine)
    own = [each for each in peers if each.owner == starved.owner]
    share = mine // (len(own) + 1)
    if starved.slots_since_us and _size(starved) >= share:
        own = []
    return _Circle(own, share, _size, not starved.slots_since_us)


def _wealth(party: Party, circle: _Circle) -> tuple[int, int, int, int]:
    return -party.priority, circle.has(party), _size(party), -min(party.slots_since_us)


def _size(party: Party) -> int:
    return len(party.slots_since_us)
