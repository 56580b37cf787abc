"""What a task's code learns of itself, and labels that reach its actions."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import NotInTaskContextError

env = flyte.TaskEnvironment("context")


@env.task
def child() -> dict[str, str]:
    return flyte.get_custom_context()


@env.task(retries=1)
def about() -> list[str]:
    context = flyte.ctx()
    assert context and context.is_task_running and not context.in_driver and not context.is_in_cluster()
    if context.attempt_number == 0:
        raise ValueError("once more")
    id = context.action
    return [id.run_name, id.name, context.task_name, context.mode, str(context.attempt_number)]


@env.task(cache="disable")
def places() -> dict[str, object]:
    context = flyte.ctx()
    with open(context.raw_data_path.get_random_remote_path("note.txt"), "w") as file:
        file.write("kept")
    with flyte.group("these"):
        group = context.group_data
    return {
        "run_base_dir": context.run_base_dir,
        "raw_data_path": context.raw_data_path.path,
        "input_path": context.input_path,
        "output_path": context.output_path,
        "group": group and group.name,
        "no group": context.group_data,
        "disable_run_cache": context.disable_run_cache,
        "interactive_mode": context.interactive_mode,
        "project": context.action.project,
        "ranks": [context.rank, context.world_size, context.local_rank, context.nnodes, context.restart_attempt],
        "master": [context.master_addr, context.master_port],
    }


@env.task
def same_start() -> list[datetime]:
    return [flyte.ctx().run_start_time, *started()]


@env.task
def started() -> list[datetime]:
    return [flyte.ctx().run_start_time]


@env.task
def code() -> list[str]:
    context = flyte.ctx()
    bundle = context.code_bundle
    assert bundle is not None
    return [context.version, bundle.computed_version, bundle.zip]


@env.task
def nested() -> list[dict[str, str]]:
    seen = [child()]
    with flyte.custom_context(team="red", step="one"):
        seen.append(child())
        seen.append(flyte.ctx().custom_context)
    seen.append(child())
    return seen


@env.task
def grouped() -> str:
    with flyte.group("outer"):
        child()
        with flyte.group("inner"):
            child()
            return str(flyte.ctx().group)


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


def test_a_task_knows_its_run_action_attempt_and_mode() -> None:
    run = flyte.with_runcontext(name="known").run(about)
    assert run.outputs() == (["known", "a0", "context.about", "local", "1"],)


def test_a_task_knows_where_its_things_lie(root: Path) -> None:
    run = flyte.with_runcontext(name="places", disable_run_cache=True, env_vars=RANKS).run(places)
    assert run.outputs() == (
        {
            "run_base_dir": f"{root}/runs/places",
            "raw_data_path": f"{root}/runs/places/data",
            "input_path": None,
            "output_path": f"{root}/runs/places/data/outputs/a0/0",
            "group": "these",
            "no group": None,
            "disable_run_cache": True,
            "interactive_mode": False,
            "project": None,
            "ranks": [3, 8, 1, 2, 0],
            "master": ["10.0.0.1", 29500],
        },
    )
    assert [path.read_text() for path in (root / "runs" / "places" / "data").rglob("note.txt")] == ["kept"]


RANKS = {
    "RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}


def test_all_actions_of_a_run_know_when_it_was_started() -> None:
    before = datetime.now(tz=timezone.utc)
    (times,) = flyte.run(same_start).outputs()
    assert times[0] == times[1] and before <= times[0] <= datetime.now(tz=timezone.utc)


def test_a_task_knows_the_code_that_travels(root: Path) -> None:
    (about,) = flyte.run(code).outputs()
    (bundle,) = (root / "code").iterdir()
    assert about == [bundle.stem, bundle.stem, f"file://{bundle}"]


def test_custom_context_reaches_descendants_inside_its_block_only() -> None:
    run = flyte.with_runcontext(custom_context={"team": "blue"}).run(nested)
    blue, red = {"team": "blue"}, {"team": "red", "step": "one"}
    assert run.outputs() == ([blue, red, red, blue],)


def test_the_innermost_group_labels_an_action() -> None:
    run = flyte.run(grouped)
    assert run.outputs() == ("inner",)
    assert [action.group for action in flyte.remote.Action.listall(run.name)] == [None, "outer", "inner"]


def test_outside_a_task_the_context_is_false_and_says_why() -> None:
    context = flyte.ctx()
    assert not context and context.in_driver and not context.is_task_running
    assert repr(context) == "TaskContext(outside a task)"
    with pytest.raises(NotInTaskContextError, match="run_name is known inside a task"):
        _ = context.run_name
    with flyte.custom_context(a="b"), flyte.group("no effect"):
        assert flyte.get_custom_context() == {"a": "b"}
    assert flyte.get_custom_context() == {}


def test_labels_that_are_no_text_are_refused() -> None:
    with pytest.raises(TypeError, match="expects text, got int 1 for 'a'. Write a='1'"), flyte.custom_context(a=1):  # type: ignore[arg-type]
        pass
    with pytest.raises(TypeError, match="flyte.group expects a name, got ''"), flyte.group(""):
        pass
