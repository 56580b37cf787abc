"""A run's history as a table."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import polars as pl
import pytest

import flyte_ray as flyte
from flyte_ray.api.history import actions_table
from flyte_ray.ledger.state import ActionState
from flyte_ray.spec.phase import ActionPhase

env = flyte.TaskEnvironment("history")
ran: list[int] = []


@env.task(retries=1)
def odd(x: int) -> int:
    ran.append(x)
    if x == 3 and ran.count(3) == 1:
        raise ConnectionError("the first time")
    if x % 2 == 0:
        raise ValueError(f"{x} is even")
    return x


@env.task(cache="auto")
def kept(x: int) -> int:
    return x


@env.task
def main() -> int:
    found = list(flyte.map(odd, [1, 2, 3], group_name="numbers"))
    kept(1)
    return sum(each for each in found if isinstance(each, int))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ran.clear()
    flyte.init(root=tmp_path)
    return tmp_path


def test_the_actions_of_a_run_are_rows_that_say_how_each_came_out(root: Path) -> None:
    flyte.with_runcontext("local").run(kept, 1)
    before = dt.datetime.now(dt.timezone.utc)
    run = flyte.with_runcontext("local", custom_context={"team": "a"}).run(main)
    assert run.outputs() == (4,)
    found = flyte.remote.Run.get(run.name).actions_table()
    rows = {(row["task"], row["inputs"]): row for row in found.to_pylist()}
    assert next(iter(rows.values()))["action"] == "a0" and len(rows) == 5
    root_row, failed = rows["history.main", "{}"], rows["history.odd", '{"x":2}']
    again, cached = rows["history.odd", '{"x":3}'], rows["history.kept", '{"x":1}']
    assert (root_row["run"], root_row["parent"], root_row["phase"]) == (run.name, None, "succeeded")
    assert root_row["output"] == "4" and root_row["context"] == '{"team": "a"}'
    assert (failed["phase"], failed["attempts"], failed["group"]) == ("failed", 2, "odd_numbers")
    assert failed["output"] is None and failed["error_code"] == "RetriesExhaustedError"
    assert failed["error"] == "all 2 attempts failed, the last one with ValueError: 2 is even"
    assert (again["failures"], again["attempts"], again["error"], again["depth"]) == (1, 2, None, 1)
    assert cached["started"] is None and cached["duration_s"] is None
    assert str(cached["cached_from"]).endswith("/a0")
    for row in (root_row, again):
        assert before < row["called"] <= row["queued"] <= row["started"] <= row["ended"]
        assert row["duration_s"] == (row["ended"] - row["started"]).total_seconds()


def test_polars_asks_it_without_a_word(root: Path) -> None:
    run = flyte.with_runcontext("local").run(main)
    slowest = (
        pl.DataFrame(run.actions_table())
        .group_by("task")
        .agg(pl.len().alias("calls"), pl.col("duration_s").max(), (pl.col("phase") == "failed").sum().alias("failed"))
        .sort("task")
    )
    assert slowest["task"].to_list() == ["history.kept", "history.main", "history.odd"]
    assert slowest["calls"].to_list() == [1, 1, 3] and slowest["failed"].to_list() == [0, 0, 1]


def test_what_runs_again_has_neither_ended_nor_an_output() -> None:
    before = ActionState(
        "a0", None, "history.main@1", None, "{}", 10, phase=ActionPhase.ABORTED, result='{"message":""}'
    )
    before.started_us, before.ended_us = 20, 30
    renewed = dataclasses.replace(before, phase=ActionPhase.QUEUED, result=None)
    ended, again = actions_table("r", [before, renewed]).to_pylist()
    assert (ended["duration_s"], ended["error"]) == (10 / 1e6, "")
    assert [again[name] for name in ("ended", "duration_s", "error", "output")] == [None] * 4


def test_a_run_without_rows_still_has_all_columns() -> None:
    assert actions_table("r", []).schema == actions_table("r", [ActionState("a0", None, "t", None, "{}", 1)]).schema
