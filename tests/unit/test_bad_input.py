"""What goes wrong in a user's call is said in one sentence: what was expected, what came, what to do."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.errors import InvalidDeclaration, RunAlreadyExistsError, RuntimeUserError, StoreError

env = flyte.TaskEnvironment("bad")


@env.task
def count(x: int, word: str = "a") -> int:
    return x


@env.task
async def later(x: int) -> int:
    return x


@env.task
def anything(x: Any) -> Any:
    return x


@env.task
def calls_with(arguments: dict[str, Any]) -> int:
    return count(**arguments)


@env.task
def sends_a_lock() -> int:
    return int(anything(threading.Lock()))


@env.task
def returns_a_lock() -> Any:
    return threading.Lock()


@env.task
def returns_an_object() -> object:
    return threading.Lock()


@env.task
def returns_text() -> int:
    return "text"  # type: ignore[return-value]


@env.task
def returns_without_saying():  # type: ignore[no-untyped-def]
    return 3


@env.task
async def forgets_to_await() -> int:
    return later(1)  # type: ignore[return-value]


@env.task
def passes_a_coroutine() -> int:
    return int(anything(later(1)))


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "7"}, "Task 'bad.count', parameter 'x': expected int, got str '7'. Pass a value of that type."),
        ({}, "task 'bad.count' needs a value for parameter 'x', got none. Its parameters are: x, word."),
        ({"x": 1, "z": 2}, "task 'bad.count' has no parameter 'z'. Its parameters are: x, word."),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_queued(arguments: dict[str, Any], message: str, root: Path) -> None:
    with pytest.raises(TypeError) as caught:
        flyte.run(count, **arguments)
    assert str(caught.value) == message
    assert not list(root.glob("runs/*"))
    run = flyte.run(calls_with, arguments)
    assert str(run.error) == message
    assert len(flyte.remote.Action.listall(run.name)) == 1


class OddError(Exception):
    """No type of value."""


def test_a_value_of_any_type_is_taken_as_it_is() -> None:
    assert flyte.run(anything, 7).outputs() == (7,)
    assert flyte.run(anything, 1j).outputs() == (1j,)
    with pytest.warns(UserWarning, match="Values of type OddError have no typed form: pickled"):
        assert isinstance(flyte.run(anything, OddError()).outputs()[0], OddError)


@pytest.mark.filterwarnings("ignore:Values of type lock")
@pytest.mark.parametrize(
    ("task", "message"),
    [
        (sends_a_lock, "Task 'bad.anything', parameter 'x': values must be storable, got lock .+ Pass what it is made"),
        (
            returns_a_lock,
            "task 'bad.returns_a_lock', variable 'o0': values must be storable, .+ cannot pickle",
        ),
        (returns_an_object, "variable 'o0': values must be storable, .+ cannot pickle"),
        (returns_text, "variable 'o0': Expected int but got str 'text'. Return a value of that type, or change"),
        (returns_without_saying, "Expected no outputs but got int 3. Annotate what the task returns."),
        (forgets_to_await, "Expected int but got the coroutine 'bad.later', which was not awaited. Write 'await'"),
        (passes_a_coroutine, "parameter 'x': values must be storable, got the coroutine 'bad.later', which was not"),
    ],
    ids=lambda value: getattr(value, "short_name", ""),
)
def test_a_value_that_cannot_be_taken_is_named_with_what_to_do(task: flyte.TaskTemplate, message: str) -> None:
    with pytest.raises(RuntimeUserError, match=message):
        flyte.run(task).outputs()


def test_a_task_of_a_nested_function_runs() -> None:
    @env.task
    def inner(x: int) -> int:
        return x + 1

    assert flyte.run(inner, 1).outputs() == (2,)


def test_two_runs_of_one_name_are_refused_and_the_first_stays() -> None:
    first = flyte.with_runcontext(name="once").run(count, 1)
    with pytest.raises(RunAlreadyExistsError, match="holds a run 'once' already. Choose another name, or continue"):
        flyte.with_runcontext(name="once").run(count, 2)
    assert first.outputs() == (1,)


def test_a_root_that_cannot_be_written_is_named(root: Path) -> None:
    (root / "file").write_text("")
    flyte.init(root=root / "file")
    with pytest.raises(InvalidDeclaration, match="A root names a folder or a bucket, got the file"):
        flyte.run(count, 1)
    flyte.init(root=root / "file" / "below")
    with pytest.raises(StoreError, match=r"below should be writable, but: Cannot write .+: Not a directory. Choose"):
        flyte.run(count, 1)
    flyte.init(root="s3://")
    with pytest.raises(InvalidDeclaration, match="A root names a folder or a bucket, got 's3://'. Write"):
        flyte.run(count, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"short_name": 3}, "Task 'bad.f': short_name must be a str, got int 3. Change the argument"),
        ({"report": "yes"}, "Task 'bad.f': report must be a bool, got str 'yes'"),
        ({"max_inline_io_bytes": "1"}, "max_inline_io_bytes must be a number of bytes of at least 1, got '1'"),
        ({"docs": "text"}, "docs must be a Documentation, got str 'text'. Write flyte.Documentation"),
        ({"timeout": "1h"}, "Timeout.max_runtime must be seconds or a timedelta, not negative, got '1h'"),
        ({"cache": "always"}, "Cache.behavior must be 'auto', 'override' or 'disable', got 'always'"),
    ],
)
def test_settings_of_a_task_are_checked_at_its_declaration(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):

        @env.task(**settings)  # type: ignore[untyped-decorator]
        def f() -> int:
            return 1


def test_tasks_need_named_parameters_and_one_output() -> None:
    with pytest.raises(InvalidDeclaration, match=r"must have names, got '\*numbers' .+ Use a parameter of type list"):

        @env.task
        def star(*numbers: int) -> int:
            return 1

    with pytest.raises(InvalidDeclaration, match="must return its output, got a generator. Return a list"):

        @env.task
        async def generates() -> Any:
            yield 1
