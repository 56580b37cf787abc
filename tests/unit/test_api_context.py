"""What a task's code learns of itself, and labels that reach its actions."""

from __future__ import annotations

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
