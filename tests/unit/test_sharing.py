"""One queue does not keep another waiting: slots give way down to an equal share, or turn by turn."""

from __future__ import annotations

from flyte_ray.ledger.sharing import STARVED_US, TURN_US, Party, concessions
from flyte_ray.spec.ids import RunId

NOW = 100_000_000
CPU = frozenset({"CPU"})


def party(
    name: str,
    slots: int,
    *,
    starting: int = 0,
    holds: frozenset[str] = CPU,
    scarce: frozenset[str] = CPU,
    giving: int = 0,
    priority: int = 0,
    owner: str = "",
) -> Party:
    began = NOW - 2 * STARVED_US
    since = [NOW - 2 * TURN_US] * slots
    return Party(RunId(name), "s", holds, since, giving, [began] * starting, scarce, priority, owner)


def given(*parties: Party) -> dict[str, int]:
    return {each.party.run: each.slots for each in concessions(parties, NOW)}


def test_a_run_with_many_slots_gives_one_to_a_run_with_none() -> None:
    assert given(party("busy", 4), party("new", 0, starting=2)) == {"busy": 1}


def test_nobody_gives_while_what_is_asked_for_is_free_or_just_asked_for() -> None:
    assert given(party("busy", 4), party("new", 0, starting=1, scarce=frozenset())) == {}
    late = party("new", 0)
    late.starting_since_us = [NOW]
    assert given(party("busy", 4), late) == {}


def test_a_slot_that_gives_way_already_is_enough_for_the_moment_and_is_not_asked_for_again() -> None:
    assert given(party("busy", 3, giving=1), party("new", 0, starting=1)) == {"busy": 0}


def test_who_has_an_equal_share_gives_nothing_and_takes_nothing_either() -> None:
    assert given(party("one", 2), party("two", 2, starting=3)) == {}
    assert given(party("one", 3), party("two", 1, starting=3)) == {"one": 1}


def test_where_there_are_more_queues_than_slots_they_take_turns() -> None:
    young = party("one", 1)
    young.slots_since_us = [NOW - TURN_US // 2]
    assert given(young, party("two", 0, starting=1)) == {"one": 0}
    assert given(party("one", 1), party("two", 0, starting=1)) == {"one": 1}


def test_only_who_holds_what_is_scarce_gives_way() -> None:
    gpu = frozenset({"GPU"})
    assert given(party("plain", 8), party("trains", 0, starting=1, holds=CPU | gpu, scarce=gpu)) == {}
    assert given(
        party("plain", 8),
        party("holds", 2, holds=CPU | gpu),
        party("trains", 0, starting=1, holds=CPU | gpu, scarce=gpu),
    ) == {"holds": 1}


def test_who_has_a_lower_priority_gives_all_it_has_and_a_higher_one_nothing() -> None:
    assert given(party("batch", 1), party("urgent", 3, starting=1, priority=1)) == {"batch": 1}
    assert given(party("urgent", 4, priority=1), party("batch", 0, starting=1)) == {}


def test_of_several_with_a_lower_priority_the_lowest_gives_first() -> None:
    low, middle = party("low", 1, priority=-1), party("middle", 4)
    assert given(low, middle, party("urgent", 0, starting=1, priority=5)) == {"low": 1, "middle": 0}


def test_an_owner_with_many_runs_has_no_more_than_one_with_a_single_run() -> None:
    mine = [party(f"mine{number}", 2, owner="me") for number in range(3)]
    hers = party("hers", 2, starting=1, owner="her")
    assert given(*mine, hers) == {"mine0": 1, "mine1": 0, "mine2": 0}
    assert given(*mine, party("hers", 6, starting=1, owner="her")) == {}


def test_the_runs_of_one_owner_share_what_that_owner_has() -> None:
    assert given(
        party("big", 3, owner="me"), party("new", 0, starting=1, owner="me"), party("hers", 3, owner="her")
    ) == {"big": 1}


def test_owners_take_turns_where_there_are_fewer_slots_than_owners() -> None:
    assert given(party("mine", 1, owner="me"), party("hers", 0, starting=1, owner="her")) == {"mine": 1}
