"""How many actions may begin in a slot that runs several at a time."""

from __future__ import annotations

from flyte_ray.ledger.conversation import Slot
from flyte_ray.ledger.places import free_places


def slot(running: int, waiting: int = 0) -> Slot:
    names = [str(number) for number in range(running)]
    return Slot("s", "r", "", concurrency=10, running=dict.fromkeys(names, 0), waiting=frozenset(names[:waiting]))


def test_who_waits_takes_no_place() -> None:
    assert free_places(slot(0)) == 10
    assert free_places(slot(7, waiting=3)) == 6


def test_runs_in_one_process_share_its_places_equally_while_both_have_work() -> None:
    assert free_places(slot(2), [(slot(0), True)]) == 3
    assert free_places(slot(2), [(slot(6), True)]) == 2
    assert free_places(slot(10), [(slot(0), True)]) < 0


def test_places_that_another_run_leaves_empty_are_used() -> None:
    assert free_places(slot(2), [(slot(3), False)]) == 5
    assert free_places(slot(2), [(slot(0), False)]) == 8
