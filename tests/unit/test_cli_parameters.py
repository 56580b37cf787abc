"""A task's parameters can be written on the command line, and what does not fit is named."""

# ruff: noqa: UP007, UP045 - users write both forms of a union, so both are tested
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID

import click
import pytest
from pydantic import BaseModel

from flyte_ray.cli.moments import parse_duration, parse_moment
from flyte_ray.cli.parameters import parse_parameters, task_options, to_values
from flyte_ray.spec.interface import build_interface

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=timezone.utc)


class Colour(Enum):
    RED = "crimson"
    BLUE = 2


class Swapped(Enum):
    A = "b"
    B = "a"


@dataclass
class Point:
    x: int = 0
    y: int = 0


class Options(BaseModel):
    rate: float
    tags: set[str] = set()


class Level(IntEnum):
    LOW = 0


class Opaque:
    pass


def given(func: Callable[..., Any], *words: str) -> dict[str, Any]:
    return parse_parameters(build_interface(func), "demo", words)


def read(annotation: Any, text: str) -> Any:
    def task(x: annotation) -> None: ...

    task.__annotations__ = {"x": annotation}
    return given(task, "--x", text)["x"]


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "-3", -3),
        (float, "3", 3.0),
        (str, "[1]", "[1]"),
        (str, "none", "none"),
        (Annotated[int, "a count"], "3", 3),
        (Literal["a", "B", 3], "B", "B"),
        (Literal["a", "B", 3], "3", 3),
        (Colour, "red", Colour.RED),
        (Colour, "RED", Colour.RED),
        (Colour, "Crimson", Colour.RED),
        (Colour, "2", Colour.BLUE),
        (Swapped, "A", Swapped.A),
        (Swapped, "a", Swapped.B),
        (Optional[int], "3", 3),
        (Optional[int], "none", None),
        (Optional[bool], "no", False),
        (Optional[str], "none", "none"),
        (Union[int, str], "3", 3),
        (Union[int, str], "three", "three"),
        (int | None, "null", None),
        (list[int], "[1, 2]", [1, 2]),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (set[int], "[1, 1]", {1}),
        (dict[str, list[float]], '{"a": [1]}', {"a": [1.0]}),
        (list[date], '["2026-01-31"]', [date(2026, 1, 31)]),
        (Point, '{"x": 1}', Point(1, 0)),
        (Options, '{"rate": 1, "tags": ["a"]}', Options(rate=1, tags={"a"})),
        (Any, '{"a": 1}', {"a": 1}),
        (Any, "plain", "plain"),
        (datetime, "2026-01-31T12:00", NOON),
        (datetime, "2026-01-31T13:00+01:00", NOON),
        (date, "2026-01-31", date(2026, 1, 31)),
        (timedelta, "10 minutes", timedelta(minutes=10)),
        (Path, "/a/b.json", Path("/a/b.json")),
        (Level, "low", Level.LOW),
        (UUID, "12345678123456781234567812345678", UUID("12345678123456781234567812345678")),
    ],
)
def test_a_text_becomes_a_value_of_the_annotation(annotation: Any, text: str, value: Any) -> None:
    found = read(annotation, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "said"),
    [
        (int, "1.5", "expected INTEGER, got '1.5'"),
        (float, "much", "expected FLOAT, got 'much'"),
        (Literal["a", "b"], "A", "expected one of a, b, got 'A'"),
        (Colour, "green", "expected one of RED, BLUE, got 'green'"),
        (Union[int, float], "x", "expected INTEGER|FLOAT, got 'x'"),
        (list[int], "[1, 2", "expected JSON LIST, got '[1, 2'"),
        (list[int], '[1, "a"]', "1: Input should be a valid integer"),
        (Point, '{"x": "a"}', "expected JSON OBJECT Point"),
        (datetime, "yesterday", "expected a time such as"),
        (timedelta, "long", "expected a duration such as"),
        (Options, "nowhere.yaml", "expected a JSON or YAML file, got 'nowhere.yaml'"),
        (Opaque, "x", "start the run from Python"),
    ],
)
def test_a_text_that_does_not_fit_is_refused_by_name(annotation: Any, text: str, said: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        read(annotation, text)
    assert "'--x'" in refused.value.format_message()
    assert said in refused.value.format_message()


def test_flags_have_both_forms() -> None:
    def task(dry_run: bool, cached: bool = True) -> None: ...

    assert given(task) == {"dry_run": False}
    assert given(task, "--dry-run", "--no-cached") == {"dry_run": True, "cached": False}
    assert given(task, "--no-dry_run", "--cached") == {"dry_run": False, "cached": True}


def test_underscores_and_dashes_are_both_accepted() -> None:
    def task(max_depth: int) -> None: ...

    assert given(task, "--max-depth", "3") == given(task, "--max_depth", "3") == {"max_depth": 3}


def test_what_is_not_given_is_left_to_the_default() -> None:
    def task(a: int = 1, b: int | None = 2, c: str = "") -> None: ...

    assert given(task) == {}
    assert given(task, "--b", "none", "--c", "") == {"b": None, "c": ""}


def test_a_missing_and_an_unknown_parameter_are_named() -> None:
    def task(size: int) -> None: ...

    with pytest.raises(click.MissingParameter, match="size"):
        given(task)
    with pytest.raises(click.NoSuchOption, match="--sise"):
        given(task, "--sise", "3")


@pytest.mark.parametrize("name", ["given.json", "given.yaml"])
def test_a_document_may_be_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps({"rate": 0.5, "tags": ["a"]}))  # JSON is YAML as well
    assert read(Options, str(path)) == Options(rate=0.5, tags={"a"})


def test_a_date_that_yaml_read_by_itself_is_a_date(tmp_path: Path) -> None:
    path = tmp_path / "days.yml"
    path.write_text("- 2026-01-31\n")
    assert read(list[date], str(path)) == [date(2026, 1, 31)]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("a: [")
    with pytest.raises(click.BadParameter, match="expected a JSON or YAML file"):
        read(Options, str(path))


def test_an_object_replaces_only_the_fields_it_names() -> None:
    def task(point: Point = Point(3, 4)) -> None: ...  # noqa: B008 - the default is never changed

    assert given(task, "--point", '{"x": 1}') == {"point": Point(1, 4)}


def test_help_shows_types_and_defaults() -> None:
    def task(
        count: int, names: list[str], colour: Colour = Colour.RED, level: Literal["a", "b"] = "a", fast: bool = False
    ) -> None: ...

    command = click.Command("demo", params=[*task_options(build_interface(task))])
    text = " ".join(command.get_help(click.Context(command)).split())
    assert "--count INTEGER [required]" in text
    assert "--names JSON LIST [required]" in text
    assert "--colour [RED|BLUE] [default: RED]" in text
    assert "--level [a|b] [default: a]" in text
    assert "--fast / --no-fast [default: False]" in text


def test_options_of_ours_beside_the_tasks_are_left_alone() -> None:
    def task(x: int) -> None: ...

    interface = build_interface(task)
    command = click.Command("demo", params=[*task_options(interface), click.Option(["--root"])])
    with command.make_context("demo", ["--x", "1", "--root", "r"]) as context:
        assert to_values(interface, context.params) == {"x": 1}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 minutes", 600),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("1 hour and 5 seconds", 3605),
        ("1.5 days", 129_600),
        ("2 weeks", 1_209_600),
        ("250ms", 0.25),
        ("90", 90),
        ("1:24", 84),
        (":22", 22),
        ("1:02:03", 3723),
        ("PT5M", 300),
        ("P1DT1H", 90_000),
        ("pt0.5s", 0.5),
        ("-1 day", -86_400),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "-", "P", "PT", "ten minutes", "5 parsecs", "1:2:3:4", "10 minutes ago", "1e999"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOON),
        ("Today", NOON.replace(hour=0)),
        ("now - 1 day", NOON - timedelta(days=1)),
        ("today + PT2H", NOON.replace(hour=2)),
        ("2026-01-31T13:00 - 1:00:00", NOON),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31", NOON.replace(hour=0)),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, moment: datetime) -> None:
    found = parse_moment(text, lambda: NOON)
    assert found == moment
    assert found.tzinfo is not None


@pytest.mark.parametrize("text", ["", "now -", "now - soon", "31.1.2026", "now - 99999999 days"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        parse_moment(text)
