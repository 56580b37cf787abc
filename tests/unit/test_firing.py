"""Triggers that fire: with a clock that tests set, and a ledger that is restarted."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.errors import ObjectMissing, RunAlreadyExistsError, StoreError
from flyte_ray.ledger.firing import Firing
from flyte_ray.ledger.paths import fired_key
from flyte_ray.ledger.triggers import (
    TIME,
    TriggerRecord,
    add_trigger,
    delete_trigger,
    inputs_at,
    list_triggers,
    load_fired,
    load_trigger,
    run_name,
)
from flyte_ray.spec.ids import validate_run_name
from flyte_ray.spec.schedule import Automation, dump_automation, us_of
from tests.unit.memory_store import MemoryStore

HOURLY = flyte.Cron("0 * * * *")


def us(text: str) -> int:
    return us_of(datetime.fromisoformat(f"2026-01-01T{text}+00:00"))


def trigger(automation: Automation | None = HOURLY, **fields: Any) -> TriggerRecord:
    inputs = {"at": f'"{TIME}"', "x": "3"}
    automated = dump_automation(automation)
    made = TriggerRecord("e.f", "hourly", 0, None, True, us("00:30"), automated, inputs, us("00:30"), "me")
    return dataclasses.replace(made, **fields)


class World:
    """A root with triggers, and runs that end when the test says so."""

    def __init__(self, record: TriggerRecord) -> None:
        self.store = MemoryStore()
        self.now_us = us("00:30")
        self.started: list[str] = []
        self.active: set[str] = set()
        self.fails: Exception | None = None
        add_trigger(self.store, record)
        self.restart()

    def restart(self) -> None:
        self.firing = Firing(
            self.store, start=self.start, is_active=self.active.__contains__, now_us=lambda: self.now_us
        )

    def start(self, record: TriggerRecord, fire_us: int) -> None:
        if self.fails is not None:
            raise self.fails
        name = run_name(record, fire_us)
        if name in self.started:
            raise RunAlreadyExistsError(name)
        self.started.append(name)
        self.active.add(name)

    def at(self, text: str) -> list[str]:
        """What starts when the clock shows this, as hours and minutes."""
        self.now_us = us(text)
        before = len(self.started)
        self.firing.look()
        self.firing.tick()
        return [f"{name[-6:-4]}:{name[-4:-2]}" for name in self.started[before:]]

    @property
    def fired(self) -> Any:
        return load_fired(self.store, "e.f", "hourly")


def test_a_trigger_fires_once_at_each_of_its_moments() -> None:
    world = World(trigger())
    assert [world.at(text) for text in ("00:45", "00:59:59", "01:00", "01:00:01", "01:30", "02:00:10")] == [
        *([], [], ["01:00"], [], [], ["02:00"]),
    ]
    assert world.fired.last_run == world.started[-1] == "hourly-" + world.started[-1].split("-")[1] + "-20260101t020000"


def test_what_happened_before_its_activation_does_not_count() -> None:
    world = World(trigger(catchup="all"))
    assert world.at("00:31") == []


def test_a_restarted_ledger_fires_what_was_due_meanwhile_and_nothing_twice() -> None:
    world = World(trigger())
    assert world.at("01:00") == ["01:00"]
    world.restart()
    assert world.at("01:00:05") == []
    world.restart()
    assert world.at("02:00:30") == ["02:00"]


def test_a_ledger_that_died_before_it_said_so_starts_no_second_run() -> None:
    world = World(trigger())
    world.start(load_trigger(world.store, "e.f", "hourly"), us("01:00"))
    assert world.at("01:00:10") == []
    assert world.fired.last_us == us("01:00")


@pytest.mark.parametrize(
    ("catchup", "expected", "left_out"),
    [("once", ["04:00"], 0), ("all", ["01:00", "02:00", "03:00", "04:00"], 0), ("none", [], 1)],
)
def test_what_was_missed_is_made_up_for_as_the_trigger_says(catchup: str, expected: list[str], left_out: int) -> None:
    world = World(trigger(catchup=catchup))
    assert world.at("04:30") == expected
    assert world.at("05:00") == ["05:00"]
    assert world.fired.skipped == left_out


def test_a_fire_that_is_due_now_makes_up_for_missed_ones() -> None:
    assert World(trigger()).at("04:00:20") == ["04:00"]


def test_runs_may_overlap_unless_the_trigger_says_else() -> None:
    world = World(trigger())
    assert [world.at("01:00"), world.at("02:00")] == [["01:00"], ["02:00"]]


def test_a_fire_is_skipped_while_the_last_run_goes_on() -> None:
    world = World(trigger(overlap="skip"))
    assert [world.at("01:00"), world.at("02:00")] == [["01:00"], []]
    world.active.clear()
    assert [world.at("02:30"), world.at("03:00")] == [[], ["03:00"]]
    assert world.fired.skipped == 1


def test_fires_wait_in_a_queue_while_the_last_run_goes_on_also_over_a_restart() -> None:
    world = World(trigger(overlap="queue"))
    assert [world.at("01:00"), world.at("02:00"), world.at("03:00")] == [["01:00"], [], []]
    world.restart()
    assert world.at("03:10") == []
    world.active.clear()
    assert world.at("03:11") == ["02:00"]
    world.active.clear()
    assert world.at("03:12") == ["03:00"]
    assert world.fired.queue == ()


def test_what_is_switched_off_does_not_fire_and_misses_nothing_by_that() -> None:
    world = World(trigger(catchup="all"))
    add_trigger(world.store, trigger(active=False))
    assert world.at("02:00") == []
    add_trigger(world.store, trigger(catchup="all", activated_us=us("02:30")))
    assert [world.at("02:31"), world.at("03:00")] == [[], ["03:00"]]
    delete_trigger(world.store, "e.f", "hourly")
    assert world.at("04:00") == []
    with pytest.raises(ObjectMissing, match="should hold a trigger 'hourly' of task 'e.f', but does not. It has: none"):
        load_trigger(world.store, "e.f", "hourly")


def test_what_waited_when_a_trigger_was_switched_off_does_not_come_back() -> None:
    world = World(trigger(overlap="queue"))
    assert [world.at("01:00"), world.at("02:00")] == [["01:00"], []]
    add_trigger(world.store, trigger(overlap="queue", active=False))
    world.at("02:10")
    world.active.clear()
    add_trigger(world.store, trigger(overlap="queue", activated_us=us("02:30")))
    assert [world.at("02:31"), world.at("03:00")] == [[], ["03:00"]]


def test_a_trigger_whose_task_is_gone_says_so_and_goes_on() -> None:
    world = World(trigger())
    world.fails = ValueError("no such task")
    assert world.at("01:00") == []
    assert world.fired.error == "ValueError: no such task"
    world.fails = None
    assert world.at("02:00") == ["02:00"]
    assert world.fired.error == ""


def test_a_store_that_is_away_loses_no_fire() -> None:
    world = World(trigger())
    world.fails = StoreError("it does not answer")
    with pytest.raises(StoreError):
        world.at("01:00")
    world.fails = None
    assert world.at("01:05") == ["01:00"]


def test_a_year_of_minutes_is_made_up_for_at_once() -> None:
    world = World(trigger(flyte.FixedRate(1)))
    world.now_us = us("00:30") + 365 * 24 * 3600 * 1_000_000
    world.firing.look()
    world.firing.tick()
    assert len(world.started) == 1


def test_a_trigger_without_a_schedule_is_left_alone() -> None:
    assert World(trigger(None)).at("05:00") == []


def test_a_trigger_that_is_deleted_and_made_anew_fires_as_it_says_now() -> None:
    world = World(trigger())
    assert world.at("00:40") == []
    delete_trigger(world.store, "e.f", "hourly")
    add_trigger(world.store, trigger(flyte.Cron("45 * * * *"), activated_us=us("00:40")))
    assert [world.at(text) for text in ("00:40:05", "00:45:01", "01:00:01", "01:45")] == [[], ["00:45"], [], ["01:45"]]


def test_a_trigger_that_is_deleted_and_made_anew_does_not_fire_as_it_said_before() -> None:
    world = World(trigger())
    assert world.at("00:59:58") == []
    delete_trigger(world.store, "e.f", "hourly")
    add_trigger(world.store, trigger(flyte.Cron("45 * * * *"), activated_us=us("00:59:59")))
    assert [world.at(text) for text in ("01:00", "01:00:05", "01:45")] == [[], [], ["01:45"]]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_clock_that_was_hours_ahead_and_is_set_right_silences_no_trigger(restarts: bool) -> None:
    world = World(trigger())
    assert world.at("05:00") == ["05:00"]
    if restarts:
        world.restart()
    assert [world.at(text) for text in ("01:30", "02:00", "03:00")] == [[], ["02:00"], ["03:00"]]


def test_what_waits_is_stored_once() -> None:
    world = World(trigger(overlap="queue"))
    world.at("01:00")
    world.at("02:00")
    before = world.store.objects[fired_key("e.f", "hourly")]
    assert world.at("02:10") == []
    assert world.store.objects[fired_key("e.f", "hourly")] is before


def test_a_trigger_that_cannot_be_read_keeps_no_other_from_firing(caplog: pytest.LogCaptureFixture) -> None:
    world = World(trigger())
    zone = {"kind": "cron", "expression": "* * * * *", "timezone": "Mars/Base"}
    add_trigger(world.store, dataclasses.replace(trigger(), name="a-first", automation=zone))
    assert [world.at(text) for text in ("00:45", "01:00")] == [[], ["01:00"]]
    assert [record.getMessage()[:36] for record in caplog.records] == ["trigger e.f/a-first does not fire: I"]


def test_a_run_is_named_by_trigger_and_moment_and_gets_the_moment() -> None:
    record = trigger(name="Nightly_Report.of-all.the.shops.we.have")
    name = run_name(record, us("02:00"))
    assert validate_run_name(name) == name and name.startswith("nightly-report-of-all-")
    assert name != run_name(trigger(task="other.f", name=record.name), us("02:00"))
    assert inputs_at(record, us("02:00")) == {"at": "2026-01-01T02:00:00+00:00", "x": 3}


def test_triggers_of_one_task_are_listed_without_those_of_others() -> None:
    store = MemoryStore()
    for task, name in (("e.f", "a"), ("e.fg", "a"), ("e.f", "ab")):
        add_trigger(store, trigger(task=task, name=name))
    assert [record.id for record in list_triggers(store, "e.f")] == ["e.f/a", "e.f/ab"]
    assert load_trigger(store, "e.f", "a").revision == 1


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [("allow", ["01:00", "02:00", "03:00"]), ("queue", ["01:00", "02:00", "03:00"]), ("skip", ["01:00", "03:00"])],
)
def test_two_ledgers_of_one_root_start_each_run_once_and_keep_to_the_rule(overlap: Any, expected: list[str]) -> None:
    world = World(trigger(overlap=overlap))
    one = world.firing
    world.restart()
    other = world.firing
    most = 0
    for text in ("00:45", "01:00", "01:00:30", "02:00", "02:30", "02:59", "03:00", "03:30", "03:45"):
        for ledger in (one, other, one):
            world.firing = ledger
            world.at(text)
            most = max(most, len(world.active))
        if text in ("02:30", "02:59", "03:30"):
            world.active.clear()  # what ran has ended
    assert [f"{name[-6:-4]}:{name[-4:-2]}" for name in world.started] == expected
    assert most == (2 if overlap == "allow" else 1)
