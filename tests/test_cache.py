"""Outcomes that are kept and used again, in one run and over runs."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

import flyte_ray as flyte
from flyte_ray.api.run import Run
from flyte_ray.cli.main import main
from flyte_ray.io import File
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger

env = flyte.TaskEnvironment("caching")
COUNTS = Path()


@pytest.fixture(autouse=True)
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_cache.COUNTS", tmp_path / "counts")
    flyte.init(root=str(tmp_path / "root"))


def count(name: str) -> None:
    with COUNTS.open("a") as file:
        file.write(name + "\n")


def times(name: str) -> int:
    return COUNTS.read_text().split().count(name) if COUNTS.exists() else 0


@env.task(cache="auto")
def square(x: int) -> int:
    count("square")
    return x * x


@env.task
def squares(n: int) -> int:
    return sum(flyte.map(square, range(n)))


@env.task
def twice(x: int) -> int:
    return square(x) + square(x)


@env.task(cache=flyte.Cache("auto", ignored_inputs="verbose"))
def quiet(x: int, verbose: bool = False) -> int:
    count("quiet")
    return x


@env.task(cache=flyte.Cache("override", version_override="1", max_age=3600))
def fresh(x: int) -> int:
    count("fresh")
    return x


@env.task(cache=flyte.Cache("override", version_override="1", max_age=timedelta(seconds=0.1)))
def soon_stale(x: int) -> int:
    count("soon_stale")
    return x


@env.task(cache="auto")
def table(n: int) -> pa.Table:
    count("table")
    return pa.table({"x": list(range(n))})


@env.task
def rows(n: int) -> int:
    return int(table(n).num_rows)


@env.task(cache="auto")
def written(text: str) -> File:
    count("written")
    path = COUNTS.with_name("written.txt")
    path.write_text(text)
    return File.from_local_sync(path)


@env.task(cache="auto")
def failing(x: int) -> int:
    count("failing")
    raise ValueError("no")


class Opaque:
    """It has no typed form."""


@env.task(cache="auto")
def opaque(thing: Opaque) -> int:
    count("opaque")
    return 1


@env.task(cache=flyte.Cache("override", version_override="1", serialize=True))
def alone(x: int) -> int:
    count("alone")
    time.sleep(0.3)
    return x


@env.task
def together(n: int) -> int:
    return sum(flyte.map(alone, [7] * n))


def run(task: object, *args: object, **settings: object) -> Run:
    return flyte.with_runcontext("local", **settings).run(task, *args)  # type: ignore[arg-type]


def test_a_second_run_takes_kept_outcomes_and_says_from_where() -> None:
    first = run(squares, 5)
    assert first.outputs() == run(squares, 5).outputs() == (30,)
    assert times("square") == 5
    again = run(squares, 6)
    assert again.outputs() == (55,)
    assert times("square") == 6
    hits = [action.cached_from for action in again.state().actions.values() if action.cached_from]
    assert len(hits) == 5
    assert all(hit.startswith(f"{first.name}/") for hit in hits)


def test_the_root_action_is_cached_as_any_other() -> None:
    assert run(squares, 3).outputs() == (5,)
    assert run(square, 2).outputs() == (4,)  # kept by the run before
    assert run(square, 2).outputs() == (4,)
    assert times("square") == 3


def test_equal_calls_one_after_the_other_in_one_run_compute_once_when_the_first_is_stored() -> None:
    assert run(twice, 3).outputs() == (18,)
    assert times("square") in (1, 2)
    assert run(twice, 3).outputs() == (18,)
    assert times("square") <= 2


def test_ignored_inputs_do_not_count() -> None:
    run(quiet, 1, True)
    run(quiet, 1, False)
    assert times("quiet") == 1
    run(quiet, 2, False)
    assert times("quiet") == 2


def test_an_outcome_is_used_up_to_its_age() -> None:
    run(fresh, 1)
    run(fresh, 1)
    assert times("fresh") == 1
    run(soon_stale, 1)
    time.sleep(0.2)
    run(soon_stale, 1)
    assert times("soon_stale") == 2


def test_overwrite_computes_again_and_keeps_and_disable_leaves_the_cache_alone() -> None:
    run(square, 2)
    run(square, 2, disable_run_cache=True)
    assert times("square") == 2
    newer = run(square, 2, overwrite_cache=True)
    assert times("square") == 3
    assert run(square, 2).state().root.cached_from == f"{newer.name}/a0"


def test_tables_and_files_are_taken_from_the_run_that_made_them() -> None:
    assert run(rows, 4).outputs() == run(rows, 4).outputs() == (4,)
    assert times("table") == 1
    run(written, "hello")
    (file,) = run(written, "hello").outputs()
    assert times("written") == 1
    with file.open_sync("r") as opened:
        assert opened.read() == "hello"


def test_an_outcome_whose_values_are_gone_is_computed_again() -> None:
    first = run(rows, 4)
    for path in (COUNTS.parent / "root" / "runs" / first.name / "data").rglob("*.arrow"):
        path.unlink()
    assert run(rows, 4).outputs() == (4,)
    assert times("table") == 2


def test_failures_are_not_kept() -> None:
    for _ in range(2):
        with pytest.raises(flyte.errors.RuntimeUserError):
            run(failing, 1).outputs()
    assert times("failing") == 2


def test_what_has_no_typed_form_is_not_cached_and_said() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(opaque, Opaque())
        run(opaque, Opaque())
    assert any("'caching.opaque' is not cached: an input has no typed form" in str(each.message) for each in said)
    assert times("opaque") == 2


def test_serialized_equal_calls_compute_once() -> None:
    assert run(together, 5).outputs() == (35,)
    assert times("alone") == 1


@pytest.mark.parametrize("damage", [lambda text: text[:1], lambda text: text.replace("81", "91")])
def test_a_damaged_entry_is_a_miss(damage: Callable[[str], str]) -> None:
    run(square, 9)
    (path,) = (COUNTS.parent / "root" / "cache").rglob("*.json")
    path.write_text(damage(path.read_text()))
    assert run(square, 9).outputs() == (81,)
    assert times("square") == 2


@env.task(cache="auto")
def says(x: int) -> str:
    count("says")
    return "run: done"


def test_a_text_that_looks_like_a_reference_is_a_text() -> None:
    assert run(says, 1).outputs() == run(says, 1).outputs() == ("run: done",)
    assert times("says") == 1


@env.task(cache=flyte.Cache("override", version_override="1", ignored_inputs="note"))
def measured(data: pa.Table, note: str = "") -> int:
    count("measured")
    return int(data.num_rows)


def test_tables_count_by_their_content_beside_ignored_inputs() -> None:
    for note in ("a", "b"):
        assert run(measured, pa.table({"x": [1, 2]}), note).outputs() == (2,)
    assert times("measured") == 1


def test_an_entry_says_who_made_it() -> None:
    made = run(square, 9)
    (path,) = (COUNTS.parent / "root" / "cache").rglob("*.json")
    entry = json.loads(path.read_text())
    assert (entry["task"], entry["run"], entry["action"], entry["output"]) == ("caching.square", made.name, "a0", 81)


def cli(*words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--root", str(COUNTS.parent / "root")])


def test_the_command_line_lists_kept_outcomes_shows_their_use_and_deletes_them() -> None:
    first, second = run(squares, 2), run(squares, 2)
    listed = json.loads(cli("get", "cache", "-o", "json").stdout)
    assert {(entry["task"], entry["made by"].partition("/")[0]) for entry in listed} == {("caching.square", first.name)}
    action = next(item for item in second.state().actions.values() if item.cached_from)
    assert f"{first.name}/" in cli("get", "action", second.name, action.id).stdout
    shown = cli("get", "action", first.name, action.cached_from.partition("/")[2] if action.cached_from else "").stdout
    assert "follows tests.test_cache.count" in shown
    assert "Say which: KEYS" in cli("delete", "cache").output
    assert "keeps nothing under nothing" in cli("delete", "cache", "nothing").output
    assert "Deleted 1 kept outcome." in cli("delete", "cache", listed[0]["key"]).output
    assert "Deleted 1 kept outcome." in cli("delete", "cache", "--task", "caching.square").output
    run(squares, 2)
    assert times("square") == 4


def test_a_run_that_the_cache_answers_may_end_before_anybody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run(square, 5)
    start = Ledger.start

    def start_and_end(self: Ledger, how: Start) -> None:
        start(self, how)
        deadline = time.monotonic() + 20
        while self.runs:
            assert time.monotonic() < deadline, "the cache did not answer"
            time.sleep(0.01)

    monkeypatch.setattr(Ledger, "start", start_and_end)
    assert run(square, 5).outputs() == (25,)
    assert times("square") == 1
