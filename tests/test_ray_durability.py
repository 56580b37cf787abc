"""What survives the death of a slot on a real Ray cluster, as a user sees it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
from functools import partial
from pathlib import Path

import pytest

import flyte_ray as flyte
from benchmarks.chaos import work
from benchmarks.chaos.judge import judge
from flyte_ray.cluster.names import launcher_name, ledger_name
from flyte_ray.errors import NondeterminismError
from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests import durable_tasks
from tests.ray_cluster import process_of
from tests.test_ray import wait_until

SAID = (
    "durable.changes_its_mind (a0) was run again and called work.square(x=4) in group 'square_map'"
    " where work.square(x=3) in group 'square_map' is on record"
)


def test_a_replayed_parent_that_calls_something_else_is_warned_of(
    connected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = flyte.run(durable_tasks.changes_its_mind, marker=str(tmp_path / "marker"))
    with caplog.at_level(logging.WARNING, "flyte_ray"):
        assert run.outputs() == (32,)
    assert SAID in caplog.text
    assert run.state().root.attempts == 2


def test_with_strict_replay_a_parent_that_calls_something_else_fails(connected: Path, tmp_path: Path) -> None:
    runner = flyte.with_runcontext(strict_replay=True)
    run = runner.run(durable_tasks.changes_its_mind, marker=str(tmp_path / "marker"))
    with pytest.raises(NondeterminismError, match=re.escape(SAID)):
        run.outputs()
    assert len(load_state(open_store(connected), RunId(run.name)).actions) == 3


def test_a_run_whose_slots_ledger_and_launcher_are_killed_in_turn_ends_as_if_nothing_had_been(
    connected: Path, tmp_path: Path
) -> None:
    widths, effects, root = [3, 3, 3], tmp_path / "effects", f"file://{connected}"
    effects.touch()

    def begun() -> list[list[str]]:
        return [line.split() for line in effects.read_text().splitlines()]

    def reached(count: int) -> bool:
        return len(begun()) >= count

    def newest_slot() -> int:
        return int(begun()[-1][3])

    def ledger() -> int:
        return process_of(ledger_name(root))

    def launcher() -> int:
        return process_of(launcher_name(root))

    run = flyte.run(work.tree, widths=widths, effects=str(effects))
    for number, victim in enumerate((newest_slot, ledger, newest_slot, launcher)):
        wait_until(partial(reached, 8 * (number + 1)))
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(victim(), signal.SIGKILL)
    assert run.outputs() == (work.expected("r", widths),)
    found = judge(open_store(connected), RunId(run.name), effects, widths)
    assert (found.actions, found.again, found.wrong) == (work.size(widths), 0, 0)


def test_a_kept_outcome_is_used_by_a_later_run(connected: Path, tmp_path: Path) -> None:
    inputs = {"x": 5, "seconds": 0.0, "counts": str(tmp_path / "counts")}
    first = flyte.run(durable_tasks.kept, **inputs)
    assert first.outputs() == (25,)
    second = flyte.run(durable_tasks.kept, **inputs)
    assert second.outputs() == (25,)
    assert second.state().root.cached_from == f"{first.name}/a0"
    assert (tmp_path / "counts").read_text() == "computes\n"


def test_of_two_runs_that_call_the_same_at_the_same_time_one_computes(connected: Path, tmp_path: Path) -> None:
    inputs = {"x": 6, "seconds": 1.0, "counts": str(tmp_path / "counts")}
    runs = [flyte.run(durable_tasks.kept, **inputs) for _ in range(2)]
    assert [run.outputs() for run in runs] == [(36,), (36,)]
    assert (tmp_path / "counts").read_text() == "computes\n"


def test_durable_time_and_chance_outlive_a_killed_slot(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    [slept] = flyte.run(durable_tasks.draws, counts=str(counts), marker=str(tmp_path / "marker")).outputs()
    first, second = counts.read_text().splitlines()
    assert first == second
    assert slept < 1


def test_async_steps_and_generators_outlive_a_killed_slot(connected: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    run = flyte.run(durable_tasks.traces, counts=str(counts), marker=str(tmp_path / "marker"))
    assert run.outputs() == ([7, 0, 1, 0, 1, 2],)
    assert counts.read_text().split("\n") == ["later 7", "items", "items_later", ""]
    assert run.state().root.attempts == 2


def test_failed_attempts_are_retried_after_a_growing_pause(connected: Path, tmp_path: Path) -> None:
    run = flyte.run(durable_tasks.backs_off, counts=str(tmp_path / "counts"))
    assert run.outputs() == (2,)
    began = [float(line) for line in (tmp_path / "counts").read_text().split()]
    assert began[1] - began[0] >= 0.3
    assert began[2] - began[1] >= 0.6
    root = run.state().root
    assert (root.failures, root.losses) == (2, 0)


def test_an_error_is_tried_again_as_often_and_only_where_that_was_asked_for(connected: Path, tmp_path: Path) -> None:
    run = flyte.run(durable_tasks.fails_in_every_way, counts=str(tmp_path / "counts"))
    assert run.outputs() == (["RetriesExhaustedError", "NonRecoverableError", "RuntimeUserError"],)
    tries = (tmp_path / "counts").read_text().splitlines()
    assert tries == ["hopeless", "hopeless", "for good", "of another kind"]
