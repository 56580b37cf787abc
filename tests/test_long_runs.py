"""A run whose log is long: its segments lie in few objects while it goes on, and nothing of it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import RuntimeUserError
from flyte_ray.ledger import blocks, holding, recorder
from flyte_ray.ledger.query import load_past
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

env = flyte.TaskEnvironment("long_runs")
executed: list[int] = []
root: Path


@pytest.fixture(autouse=True)
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Store each event at once, and pack four segments at a time."""
    global root
    root = tmp_path
    executed.clear()
    flyte.init(root=tmp_path)
    monkeypatch.setattr(recorder, "LINGER_S", 0.0)
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr(holding, "KEEP_S", 0.01)
    yield


def packed(run: str) -> int:
    return len(list((root / "runs" / run / "log").glob("*-*.arrow")))


@flyte.trace
def doubled(x: int) -> int:
    return 2 * x


@env.task
def counted(x: int) -> int:
    executed.append(x)
    print(f"at {x}")
    return doubled(x)


@env.task(retries=1)
def long(fails: bool) -> int:
    total, x = 0, 0
    while x < 5 or packed(flyte.ctx().action.run_name) < 3:
        total += counted(x)
        x += 1
        time.sleep(0.01)  # else all of it is one segment
    print(f"{x} done")
    if fails and flyte.ctx().attempt_number < 2:
        raise ValueError("again")
    return total


def test_what_was_printed_and_traced_in_a_packed_run_is_read_as_before() -> None:
    run = flyte.run(long, False)
    assert run.outputs() == (sum(2 * x for x in executed),)
    assert packed(run.name) >= 3
    assert f"{len(executed)} done\n" in "".join(run.get_logs())
    actions = {action.name: action for action in flyte.remote.Action.listall(run.name)}
    first = next(name for name in actions if name != "a0" and "at 0\n" in run.read_log(name))
    assert [step.name for step in load_past(open_store(root), RunId(run.name), first).steps] == ["doubled"]


def test_a_packed_run_is_continued_and_nothing_that_has_succeeded_runs_again() -> None:
    run = flyte.run(long, True)
    with pytest.raises(RuntimeUserError):
        run.outputs()
    before = len(executed)
    assert packed(run.name) >= 3
    run.resume()
    assert run.phase.value == "succeeded"
    assert len(executed) == len(set(executed)) >= before
