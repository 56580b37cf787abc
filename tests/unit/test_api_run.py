"""Handles of runs and actions, in both forms."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

import flyte_ray as flyte
from flyte_ray.cluster.session import is_connected
from flyte_ray.errors import (
    ActionNotFoundError,
    ClusterError,
    InvalidDeclaration,
    RunNotFoundError,
    RuntimeUserError,
    UnsupportedError,
)
from flyte_ray.models import ActionPhase
from flyte_ray.remote import Action, Run

env = flyte.TaskEnvironment("runs")


@env.task
def half(x: int) -> float:
    print("halving", x)
    if x < 0:
        raise ValueError("negative")
    return x / 2


@env.task
def both_halves(x: int) -> tuple[float, str]:
    return half(x), "done"


@env.task
def nothing() -> None:
    return None


class Named(NamedTuple):
    a: int
    b: str


@env.task
def counted(n: int) -> tuple[int, str]:
    return n, "two values"


@env.task
def tabled(n: int) -> pa.Table:
    return pa.table({"x": range(n)})


@env.task
def named(n: int) -> Named:
    return Named(n, "one value")


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


def test_a_run_is_found_by_name_with_its_values(root: Path) -> None:
    flyte.with_runcontext(name="found").run(both_halves, 3)
    run = Run.get("found")
    assert (run.name, run.url, run.phase) == ("found", f"file://{root}/runs/found", ActionPhase.SUCCEEDED)
    assert run.done() and run.error is None
    assert run.inputs() == run.inputs(both_halves) == {"x": 3}
    assert run.outputs(both_halves) == (1.5, "done")


def test_outputs_of_a_run_found_by_its_name_are_what_they_were_without_its_task() -> None:
    for task in (counted, tabled, named):
        flyte.with_runcontext(name=task.short_name).run(task, n=3)
    assert Run.get("counted").outputs() == Action.get("counted").outputs() == (3, "two values")
    assert Run.get("tabled").outputs()[0].to_pydict() == {"x": [0, 1, 2]}
    assert Run.get("named").outputs() == ([3, "one value"],), "a NamedTuple is one output"


def test_outputs_are_always_a_tuple() -> None:
    assert flyte.run(nothing).outputs() == (None,)
    assert flyte.run(half, 3).outputs() == (1.5,)


def test_a_failed_run_raises_its_error_and_shows_it() -> None:
    run = flyte.run(half, -1)
    assert run.phase is ActionPhase.FAILED
    assert isinstance(run.error, RuntimeUserError) and run.error.code == "ValueError"
    with pytest.raises(RuntimeUserError, match="negative"):
        run.outputs()


def test_watch_ends_with_the_run() -> None:
    run = flyte.run(both_halves, 3)

    async def watched() -> list[dict[str, Any]]:
        return [seen async for seen in run.watch.aio()]

    assert list(run.watch()) == asyncio.run(watched())
    assert list(run.watch())[-1]["counts"] == {"succeeded": 2}


def test_every_call_of_a_run_can_be_awaited() -> None:
    flyte.with_runcontext(name="awaited").run(half, 3)

    async def main() -> None:
        run = await Run.get.aio("awaited")
        assert await run.done.aio()
        await run.wait.aio(wait_for="running")
        assert await run.inputs.aio() == {"x": 3}
        assert await run.outputs.aio(half) == (1.5,)
        assert [line async for line in run.get_logs.aio()] == list(run.get_logs()) == ["halving 3\n"]
        assert [found.name for found in await Run.listall.aio()] == ["awaited"]
        action = await Action.get.aio("awaited")
        assert (await action.done.aio(), await action.outputs.aio()) == (True, (1.5,))
        assert [found.name for found in await Action.listall.aio("awaited")] == ["a0"]
        with pytest.raises(RuntimeUserError, match="has ended already: succeeded"):
            await run.abort.aio()

    asyncio.run(main())


def test_runs_are_listed_newest_first_by_phase_and_task() -> None:
    for name, task, x in (("one", half, 1), ("two", both_halves, 2), ("three", half, -3)):
        flyte.with_runcontext(name=name).run(task, x)
    assert [run.name for run in Run.listall()] == ["three", "two", "one"]
    assert [run.name for run in Run.listall(limit=1)] == ["three"]
    assert [run.name for run in Run.listall(in_phase="failed")] == ["three"]
    assert [run.name for run in Run.listall(in_phase=(ActionPhase.SUCCEEDED, "failed"), limit=2)] == ["three", "two"]
    assert [run.name for run in Run.listall(task_name="runs.half")] == ["three", "one"]
    with pytest.raises(ValueError, match="in_phase expects phases, got 'done'. Choose from: queued, "):
        Run.listall(in_phase="done")


def test_an_action_shows_what_is_recorded_of_it() -> None:
    flyte.with_runcontext(name="acted").run(both_halves, 3)
    root, child = Action.listall("acted")
    assert (root.name, root.parent_name, root.task_name, root.run_name) == ("a0", None, "runs.both_halves", "acted")
    assert (child.parent_name, child.task_name, child.phase, child.attempts) == (
        "a0",
        "runs.half",
        ActionPhase.SUCCEEDED,
        1,
    )
    assert (child.inputs(), child.outputs()) == ({"x": 3}, (1.5,))
    assert child.start_time is not None and child.start_time.tzinfo is not None
    assert [action.name for action in Action.listall("acted", parent_name="a0")] == [child.name]
    assert Action.get("acted", child.name).task_name == "runs.half"


def test_what_is_not_recorded_is_named_with_how_to_list() -> None:
    flyte.with_runcontext(name="there").run(half, 1)
    with pytest.raises(RunNotFoundError, match="'flyte-ray get run' lists"):
        Run.get("nope")
    with pytest.raises(ActionNotFoundError, match="should have an action 'nope', but has none"):
        Action.get("there", "nope")


def test_a_run_that_has_ended_cannot_be_aborted() -> None:
    run = flyte.run(half, 1)
    for abort in (run.abort, Action.get(run.name).abort):
        with pytest.raises(RuntimeUserError, match="has ended already: succeeded. Nothing was aborted"):
            abort()


def test_wait_refuses_what_it_cannot_wait_for() -> None:
    with pytest.raises(ValueError, match="wait_for must be 'terminal' or 'running', got 'paused'"):
        flyte.run(half, 1).wait(wait_for="paused")  # type: ignore[arg-type]


def test_only_tasks_can_be_run() -> None:
    with pytest.raises(TypeError, match="flyte.run expects a task made with @env.task, got function"):
        flyte.run(half.spec.func)  # type: ignore[arg-type]


def test_hybrid_mode_is_refused_with_a_sentence() -> None:
    with pytest.raises(UnsupportedError, match="mode must be 'local' or 'remote', got 'hybrid'. Leave it out: "):
        flyte.with_runcontext("hybrid")  # type: ignore[arg-type]


def test_a_remote_run_without_a_cluster_is_refused_and_starts_none(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError, match=r"connected to none .* flyte\.init\(address='host:6379'\)"):
        flyte.with_runcontext(mode="remote").run(half, 3)
    assert not is_connected()
    assert not (root / "runs").exists()


def test_settings_of_flytes_control_plane_are_accepted_and_said_once(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        flyte.init(root=root, org="o", insecure=False)
        flyte.with_runcontext(domain="d")
    assert [record.getMessage().split(" has ")[0] for record in caplog.records] == [
        "flyte.init: 'org'",
        "flyte.with_runcontext: 'domain'",
    ]
    asyncio.run(flyte.init.aio(root=root))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"dry_run": True}, UnsupportedError, "A run cannot have 'dry_run', got True. 'flyte-ray submit --dry-run'"),
        ({"copy_style": "custom"}, UnsupportedError, "copy_style must be one of 'loaded_modules', 'all', 'none'"),
        ({"name": "Not So"}, InvalidDeclaration, "A run's name must be .* got 'Not So'. Write for example"),
        ({"max_action_concurrency": 1}, InvalidDeclaration, "must be 0 .no limit. or at least 2, got 1"),
        ({"labels": {"a": 1}}, TypeError, "labels must map str to str, got 'a': 1. Write the value as text"),
        ({"env_vars": ["A=b"]}, TypeError, "env_vars must be a dict of str to str, got list"),
        ({"nmae": "x"}, TypeError, "flyte.with_runcontext has no setting 'nmae'"),
    ],
)
def test_settings_of_a_run_are_checked_before_it_starts(
    settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        flyte.with_runcontext(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root": 7}, "flyte.init: root must be a path or URI, got int 7"),
        (
            {"storage": "s3"},
            "flyte.init: storage must be a flyte.storage.S3, GCS or ABFS, or a dict of fsspec arguments, got str",
        ),
        ({"address": 6379}, "flyte.init: address must be text such as 'host:6379', got 6379"),
        ({"rot": "/x"}, "flyte.init has no setting 'rot'"),
    ],
)
def test_settings_of_a_process_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        flyte.init(**settings)


def test_the_public_names_are_these() -> None:
    names = set(flyte.__all__)
    assert {"TaskEnvironment", "run", "with_runcontext", "map", "group", "custom_context", "get_custom_context"} < names
    assert {"ctx", "init", "logger", "version", "Documentation", "Link", "CachePolicy", "TimeoutType"} < names
    assert all(hasattr(flyte, name) for name in names)
    assert flyte.version() == flyte.__version__
    assert (
        f'version = "{flyte.version()}"'
        in Path(__file__).parents[2].joinpath("pyproject.toml").read_text().splitlines()
    )
    code = "import sys, flyte_ray; print({'ray', 'pandas', 'pyarrow', 'pydantic', 'fsspec'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
