"""Pickles are signed with their user's key: what another one has put into the record is not loaded."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.api.settings import settings
from flyte_ray.errors import InvalidDeclaration, PickleRefusedError, RuntimeUserError

pytestmark = pytest.mark.filterwarnings("ignore:Values of type (Thing|Large)")
env = flyte.TaskEnvironment("pickles")
MINE, THEIRS = "a secret key of mine", "a secret key of theirs"
ran: list[str] = []


class Thing:
    def __init__(self, text: str) -> None:
        self.text = text


class Large(Thing):
    pass


@env.task
def make(text: str) -> Thing:
    return Thing(text)


@env.task
def read(thing: Thing) -> str:
    return thing.text


@env.task
def both(text: str) -> str:
    return read(make(text))


@env.task(cache="auto")
def kept(text: str) -> Thing:
    ran.append(text)
    return Thing(text)


@env.task(cache="auto")
def many(count: int) -> list[Thing]:
    ran.append("many")
    return [Thing("x" * 1000) for _ in range(count)]


@env.task
def look_up(run: str) -> str:
    text: str = flyte.remote.Run.get(run).outputs()[0].text
    return text


@env.task
def give_back(value: Any) -> Any:
    return value


class Touch:
    """Makes a file when its pickle is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class OddError(Exception):
    pass


@env.task
def fails() -> None:
    raise OddError("odd")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FLYTE_RAY_KEY", MINE)
    ran.clear()
    flyte.init(root=tmp_path)
    yield tmp_path
    flyte.init()


def test_a_pickled_value_is_passed_on_and_read_by_its_user() -> None:
    assert flyte.run(both, "a").outputs() == ("a",)
    assert flyte.run(both, "b" * 100_000).outputs() == ("b" * 100_000,)


@pytest.mark.parametrize("size", [1, 100_000])
def test_another_user_is_told_whose_key_is_needed(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = flyte.run(make, "a" * size)
    monkeypatch.setenv("FLYTE_RAY_KEY", THEIRS)
    with pytest.raises(PickleRefusedError, match="signed with key [0-9a-f]{16}, and this process has key [0-9a-f]{16}"):
        run.outputs()
    monkeypatch.setenv("FLYTE_RAY_KEY", MINE)
    assert run.outputs()[0].text == "a" * size


def test_a_pickle_that_somebody_has_put_in_its_place_is_not_executed(root: Path, tmp_path: Path) -> None:
    run = flyte.run(make, "a" * 100_000)
    (stored,) = (root / "runs" / run.name / "data").glob("*.pickle")
    stored.write_bytes(pickle.dumps(Touch(tmp_path / "touched")))
    with pytest.raises(PickleRefusedError, match="is not what was signed with it"):
        run.outputs()
    assert not (tmp_path / "touched").exists()


def test_the_secret_is_nowhere_in_the_record(root: Path) -> None:
    flyte.run(both, "b" * 100_000)
    with pytest.raises(RuntimeUserError):
        flyte.run(fails).outputs()
    assert not [path for path in root.rglob("*") if path.is_file() and MINE.encode() in path.read_bytes()]


def test_an_exception_of_another_user_is_told_without_its_original(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = flyte.run(fails)
    assert isinstance(run.error.__cause__, OddError)  # type: ignore[union-attr]
    monkeypatch.setenv("FLYTE_RAY_KEY", THEIRS)
    assert str(run.error) == "odd" and run.error and run.error.__cause__ is None
    assert "an error is told without its original exception" in caplog.text


def test_the_outcome_that_another_user_has_pickled_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (MINE, MINE, THEIRS, THEIRS):
        monkeypatch.setenv("FLYTE_RAY_KEY", key)
        assert flyte.run(kept, "a").outputs()[0].text == "a"
        assert len(flyte.run(many, 100).outputs()[0]) == 100
    assert ran == ["a", "many", "a", "many"]


@pytest.mark.parametrize("how", ["init", "runcontext", "variable"])
def test_pickles_that_are_turned_off_fail_at_the_call(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "init":
        flyte.init(root=settings.root, pickles="refuse")
    elif how == "variable":
        monkeypatch.setenv("FLYTE_RAY_PICKLES", "refuse")
    runner = flyte.with_runcontext(pickles="refuse" if how == "runcontext" else None)
    with pytest.raises(TypeError, match="'pickles.read', parameter 'thing'.+ Thing can only.+ TypeEngine.register"):
        runner.run(read, Thing("a"))
    with pytest.raises(RuntimeUserError, match="'pickles.make', variable 'o0'.+ Thing can only be pickled"):
        runner.run(both, "a").outputs()
    error = runner.run(fails).error
    assert str(error) == "odd" and error and error.__cause__ is None
    assert runner.run(give_back, [1, {"a": (2, 3)}]).outputs() == ([1, {"a": (2, 3)}],)


def test_stored_pickles_are_not_loaded_where_they_are_turned_off() -> None:
    run = flyte.run(make, "a")
    flyte.init(root=settings.root, pickles="refuse")
    with pytest.raises(PickleRefusedError, match="pickles='refuse'"):
        run.outputs()


def test_what_a_task_reads_of_other_runs_goes_by_the_key_and_the_policy_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = flyte.run(make, "a").name
    assert flyte.run(look_up, name).outputs() == ("a",)
    with pytest.raises(PickleRefusedError, match="pickles='refuse'"):
        flyte.with_runcontext(pickles="refuse").run(look_up, name).outputs()
    monkeypatch.setenv("FLYTE_RAY_KEY", THEIRS)
    with pytest.raises(PickleRefusedError, match="signed with key"):
        flyte.run(look_up, name).outputs()


def test_a_policy_that_does_not_exist_is_refused_before_anything_is_recorded(root: Path) -> None:
    with pytest.raises(InvalidDeclaration, match="pickles must be one of"):
        flyte.init(root=root, pickles="never")  # type: ignore[arg-type]
    with pytest.raises(InvalidDeclaration, match="pickles must be one of"):
        flyte.with_runcontext(pickles="never").run(make, "a")  # type: ignore[arg-type]
    assert not (root / "runs").exists()
