"""Environments whose processes are kept, on a real Ray cluster with two CPUs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import flyte_ray as flyte
from tests import pooled
from tests.waiting import within

eventually = within(60)


def output(task: flyte.TaskTemplate, **inputs: object) -> Any:
    (found,) = flyte.run(task, **inputs).outputs()
    return found


def test_a_model_is_loaded_once_for_many_runs(connected: Path) -> None:
    assert len({tuple(output(pooled.uses_model, number=number)) for number in range(3)}) == 1


def test_one_process_is_enough_for_a_parent_and_all_below_it(connected: Path) -> None:
    assert len(set(output(pooled.calls_its_like, number=1))) == 1


def test_one_process_is_enough_where_it_holds_what_ray_does_not_lend(connected: Path) -> None:
    assert len(set(output(pooled.calls_its_like_in_memory, number=1))) == 1


def test_a_task_may_do_without_the_kept_process(connected: Path) -> None:
    kept, own = output(pooled.uses_it_without, number=5)
    assert kept == output(pooled.uses_model, number=0)[0] != own


def test_runs_with_other_variables_or_a_pool_of_their_own_share_no_process(connected: Path) -> None:
    other = flyte.with_runcontext(env_vars={"A": "1"}).run(pooled.uses_model, number=0).outputs()
    assert other != (output(pooled.uses_model, number=0),)
    first, second = (set(output(pooled.twice_in_one_run, number=number)) for number in (1, 2))
    assert len(first) == len(second) == 1 and first != second


def test_200_actions_sleep_beside_each_other_in_two_processes(connected: Path) -> None:
    began = time.monotonic()
    assert len(set(output(pooled.many_naps, count=200))) <= 2
    assert time.monotonic() - began < 100  # one after another they would sleep for 200 s


def test_two_runs_share_a_process_at_the_same_time(connected: Path, tmp_path: Path) -> None:
    waiting = flyte.run(pooled.waits_for, path=str(tmp_path / "go"))
    other = output(pooled.comes_and_goes, number=1)
    (tmp_path / "go").touch()
    assert waiting.outputs() == (other,)


def test_a_process_that_dies_takes_no_result_along(connected: Path, tmp_path: Path) -> None:
    assert output(pooled.naps_beside_a_crash, path=str(tmp_path / "crashed")) == 21


def test_a_run_has_its_turn_while_another_one_keeps_the_only_process_busy(connected: Path) -> None:
    busy = flyte.run(pooled.keeps_it_busy, seconds=600.0)
    began = time.monotonic()
    output(pooled.uses_model, number=0)
    took = time.monotonic() - began
    busy.abort("it has served its purpose")
    assert took < 300


def test_an_abort_stops_what_runs_and_keeps_the_process(connected: Path, tmp_path: Path) -> None:
    process = output(pooled.uses_model, number=0)
    run = flyte.run(pooled.sleeps, seconds=600.0, begun=str(tmp_path / "begun"))
    eventually((tmp_path / "begun").exists)
    run.abort("no longer wanted")
    assert output(pooled.uses_model, number=1) == process


def test_an_action_out_of_time_ends_and_leaves_the_process_to_others(connected: Path) -> None:
    process = output(pooled.uses_model, number=0)
    assert output(pooled.catches_a_timeout, number=0) == process[0]


def test_processes_that_are_kept_and_idle_leave_the_cpus_to_others(connected: Path) -> None:
    kept = output(pooled.uses_model, number=0)
    output(pooled.many_naps, count=2)  # with it there are more processes than CPUs
    assert output(pooled.runs_plainly, number=7) == 7
    assert output(pooled.uses_model, number=0) == kept  # none of them had to end for that
