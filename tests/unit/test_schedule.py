"""When cron and fixed rates fire, in zones that put their clocks forward and back."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import pytest

import flyte_ray as flyte
from flyte_ray.spec.schedule import (
    Automation,
    at,
    dump_automation,
    fires,
    last_fire,
    load_automation,
    next_fire,
    us_of,
)
from flyte_ray.spec.trigger import Trigger, TriggerTime

END = datetime(2200, 1, 1, tzinfo=timezone.utc)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def shown(automation: Automation, after: str, count: int) -> list[str]:
    found = fires(automation, moment(after), END, moment(after))
    return [f"{fire:%m-%d %H:%M}" for fire in itertools.islice(found, count)]


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2026-01-31T23:58:30", ["01-31 23:59", "02-01 00:00", "02-01 00:01"]),
        ("*/20 8-9 * * *", "2026-01-01T08:30", ["01-01 08:40", "01-01 09:00", "01-01 09:20"]),
        ("5/20 0 * * *", "2026-01-01T00:00", ["01-01 00:05", "01-01 00:25", "01-01 00:45"]),
        ("0 9 * * mon-fri", "2026-01-02T12:00", ["01-05 09:00", "01-06 09:00"]),
        ("0 0 1,15 * *", "2026-01-01T00:00", ["01-15 00:00", "02-01 00:00"]),
        (
            "0 0 13 * FRI",
            "2026-02-12T00:00",
            ["02-13 00:00", "02-20 00:00", "02-27 00:00", "03-06 00:00"],
        ),
        ("0 0 */2 * 7", "2026-01-31T00:00", ["02-01 00:00", "02-15 00:00", "03-01 00:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["02-29 00:00", "02-29 00:00"]),
        ("0 0 31 * *", "2026-01-31T00:00", ["03-31 00:00", "05-31 00:00"]),
    ],
)
def test_cron_fires_when_clocks_show_what_it_says(expression: str, after: str, expected: list[str]) -> None:
    assert shown(flyte.Cron(expression), after, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),  # right after the gap
        ("0 2 * * *", ["03-28 01:00", "03-29 01:00", "03-30 00:00"]),
        ("*/30 2 * * *", ["03-28 01:00", "03-28 01:30", "03-30 00:00"]),  # left out
        ("0 * * * *", ["03-28 00:00", "03-28 01:00", "03-28 02:00"]),
    ],
)
def test_what_clocks_skip_in_spring_comes_right_after_it(expression: str, expected: list[str]) -> None:
    assert shown(flyte.Cron(expression, "Europe/Zurich"), "2026-03-27T23:30", 3) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["10-25 00:30", "10-26 01:30"]),  # once, at the first
        ("30 * * * *", ["10-24 23:30", "10-25 00:30", "10-25 01:30", "10-25 02:30"]),  # each hour that goes by
    ],
)
def test_a_time_of_day_that_clocks_show_twice_in_autumn_fires_once(expression: str, expected: list[str]) -> None:
    assert shown(flyte.Cron(expression, "Europe/Zurich"), "2026-10-24T23:00", len(expected)) == expected


def test_clocks_that_are_put_back_by_half_an_hour_are_followed() -> None:
    shifted = flyte.Cron("*/30 * * * *", "Australia/Lord_Howe")
    assert shown(shifted, "2026-04-04T14:29", 4) == ["04-04 14:30", "04-04 15:00", "04-04 15:30", "04-04 16:00"]


def test_a_fixed_rate_counts_from_its_activation_or_from_its_start() -> None:
    assert shown(flyte.FixedRate(90), "2026-01-01T10:05", 2) == ["01-01 11:35", "01-01 13:05"]
    start = datetime(2026, 1, 1, 9)
    assert shown(flyte.FixedRate(60, start), "2026-01-01T06:00", 2) == ["01-01 09:00", "01-01 10:00"]
    assert shown(flyte.FixedRate(60, start), "2026-01-01T10:00", 2) == ["01-01 11:00", "01-01 12:00"]


@pytest.mark.parametrize("automation", [flyte.Cron("7 3 1 * *", "America/Havana"), flyte.FixedRate(1440)])
def test_the_last_fire_of_a_long_gap_is_found(automation: Automation) -> None:
    begin, end = moment("2026-01-05T00:00"), moment("2026-12-24T00:00")
    everything = list(fires(automation, begin, end, begin))
    assert last_fire(automation, begin, end, begin) == everything[-1]
    assert last_fire(automation, everything[-1], end, begin) is None
    assert next_fire(automation, begin, begin) == everything[0]


@pytest.mark.parametrize(
    "automation", [None, flyte.Cron("1 2 3 4 *", "Asia/Tokyo"), flyte.FixedRate(5), flyte.FixedRate(5, at(0))]
)
def test_an_automation_is_read_as_it_was_written(automation: Automation | None) -> None:
    assert load_automation(dump_automation(automation)) == automation


def test_flytes_wire_form_of_cron_is_its_text() -> None:
    assert str(flyte.Cron("0 9 * * *", "Asia/Tokyo")) == "CRON_TZ=Asia/Tokyo 0 9 * * *"
    assert us_of(at(5)) == 5 and at(0) + timedelta(hours=1) == moment("1970-01-01T01:00")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 0 30 2 *", "Cron '0 0 30 2 \\*' can never fire: no month that it names has such a day"),
        ("0 0 31 4,6 *", "can never fire"),
        ("* * * *", "it has 4 fields"),
        ("60 * * * *", "its minute must lie in 0 to 59, got '60'"),
        ("* * 0 * *", "its day of the month must lie in 1 to 31, got '0'"),
        ("* * * foo *", "its month must be a number, '\\*', a range, a step or a list of these, got 'foo'"),
        ("* * * * 5-1", "its day of the week must lie in 0 to 7, got '5-1'"),
        ("*/0 * * * *", "its minute must lie in"),
        ("1,,2 * * * *", "its minute must be a number"),
    ],
)
def test_a_cron_that_cannot_fire_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        flyte.Cron(expression)


def test_a_zone_that_does_not_exist_is_refused() -> None:
    for zone in ("Mars/Olympus", "", "../etc/passwd", None):
        with pytest.raises(ValueError, match="Cron.timezone must be the name of a time zone"):
            flyte.Cron("0 9 * * *", zone)  # type: ignore[arg-type]


def test_a_rate_without_an_interval_is_refused() -> None:
    for minutes in (0, -1, 1.5, True, "5"):
        with pytest.raises(ValueError, match="interval_minutes must be a whole number of at least 1"):
            flyte.FixedRate(minutes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start_time must be a datetime"):
        flyte.FixedRate(5, "now")  # type: ignore[arg-type]


def test_the_ready_made_triggers_fire_as_they_are_called() -> None:
    made = {each.name: each for each in (Trigger.minutely(), Trigger.hourly(), Trigger.daily(), Trigger.weekly("at"))}
    crons = {
        name: trigger.automation.expression
        for name, trigger in made.items()
        if isinstance(trigger.automation, flyte.Cron)
    }
    assert crons == {"minutely": "* * * * *", "hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 0"}
    assert made["weekly"].inputs == {"at": TriggerTime}
    named = Trigger.monthly("at", name="books", inputs={"x": 1}, overlap="skip")
    assert (named.name, named.inputs, named.overlap) == ("books", {"x": 1, "at": TriggerTime}, "skip")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": ""}, "A trigger's name must be 1 to 63 letters"),
        ({"name": "a/b"}, "A trigger's name must be"),
        (
            {"name": "t", "max_action_concurrency": 1},
            "must be 0 .no limit. or at least 2, got 1",
        ),
        (
            {"name": "t", "inputs": {"at": TriggerTime}},
            "TriggerTime is when a Cron or FixedRate fires",
        ),
        ({"name": "t", "catchup": "some"}, "catchup must be one of 'once', 'all', 'none', got 'some'"),
        ({"name": "t", "overlap": "wait"}, "overlap must be one of 'allow', 'queue', 'skip', got 'wait'"),
    ],
)
def test_a_trigger_that_cannot_be_meant_is_refused(fields: dict[str, object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Trigger(**fields)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="automation must be a Cron, a FixedRate or None, got str"):
        Trigger("t", "0 9 * * *")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="labels must map str to str"):
        Trigger("t", labels={"a": 1})  # type: ignore[dict-item]


def test_inputs_that_do_not_fit_the_task_are_refused_when_it_is_declared() -> None:
    env = flyte.TaskEnvironment("fitting")
    for inputs, error in (
        ({"y": 1}, "should have the parameter 'y', but has: x, z"),
        ({}, "needs a value for parameter 'x', got none"),
        ({"x": TriggerTime}, "TriggerTime is a datetime, but parameter 'x' of task 'fitting.f' is int"),
    ):
        with pytest.raises(ValueError, match=error):

            @env.task(triggers=Trigger("t", flyte.Cron("0 9 * * *"), inputs=inputs))
            def f(x: int, z: int = 0) -> int:
                return x + z

    with pytest.raises(ValueError, match="each trigger needs a name of its own, got 'daily' twice"):

        @env.task(triggers=[Trigger.daily(), Trigger.daily()])
        def g() -> None: ...

    with pytest.raises(TypeError, match="triggers must be made with flyte.Trigger, got str"):

        @env.task(triggers="daily")
        def h() -> None: ...
