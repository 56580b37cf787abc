"""Runs that are started anew from earlier ones: with their inputs and code, and with the outcomes that still count."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest

import flyte_ray as flyte
from flyte_ray.errors import ActionNotFoundError, ObjectMissing, RunNotFoundError, RuntimeUserError
from flyte_ray.io import File
from flyte_ray.ledger.query import load_spec
from flyte_ray.ledger.recovering import load_outcomes
from flyte_ray.remote import Action
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests.test_conditions import beside, waiting
from tests.test_resume import Project

env = flyte.TaskEnvironment("rerun")
executed: list[str] = []
broken: list[str] = []


@env.task
def prepare(x: int) -> int:
    executed.append(f"prepare {x}")
    return x + 1


@env.task
def middle(x: int) -> int:
    executed.append(f"middle {x}")
    return int(prepare(x)) + int(prepare(x + 1))


@env.task
def check(total: int) -> int:
    executed.append("check")
    if broken:
        raise ValueError(broken[0])
    return total


@env.task
def main(n: int, extra: int = 0) -> int:
    executed.append("main")
    return int(check(sum(prepare(x) for x in range(n)) + int(middle(10)) + extra))


@pytest.fixture(autouse=True)
def begin_anew(tmp_path: Path) -> None:
    executed.clear()
    broken.clear()
    flyte.init(root=str(tmp_path / "root"))


@pytest.fixture
def failed() -> flyte.Run:
    broken[:] = ["no"]
    run = flyte.with_runcontext("local", name="first", labels={"a": "b"}).run(main, n=2)
    assert run.phase.value == "failed"
    broken.clear()
    executed.clear()
    return run


def phases(run: flyte.Run) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for action in flyte.remote.Action.listall(run.name):
        found.setdefault(action.task_name.partition(".")[2], []).append(action.phase.value)
    return found


def named(run: flyte.Run, task: str) -> list[str]:
    return [each.name for each in flyte.remote.Action.listall(run.name) if each.task_name == f"rerun.{task}"]


def test_a_run_is_started_anew_with_its_inputs_and_all_of_it_runs(failed: flyte.Run) -> None:
    again = flyte.rerun("first")
    assert (again.outputs(), again.name != "first") == ((26,), True)
    assert len(executed) == 7
    assert failed.phase.value == "failed"


def test_inputs_that_are_given_replace_recorded_ones(failed: flyte.Run) -> None:
    again = flyte.rerun("first", extra=100)
    assert (again.outputs(), again.inputs(main)) == ((126,), {"n": 2, "extra": 100})
    with pytest.raises(ValueError, match=r"Unknown input\(s\) \['m'\] for first/a0. Known inputs: n, extra"):
        flyte.rerun("first", m=1)
    with pytest.raises(TypeError, match="parameter 'n': expected int, got str"):
        flyte.rerun("first", n="two")


def test_recovery_takes_over_what_succeeded_and_runs_the_rest(failed: flyte.Run) -> None:
    again = flyte.rerun("first", recover=True)
    assert (again.outputs(), executed) == ((26,), ["main", "check"])
    assert phases(again) == {
        "main": ["succeeded"],
        "prepare": ["recovered", "recovered"],
        "middle": ["recovered"],
        "check": ["succeeded"],
    }


def test_what_was_recovered_is_recovered_again_and_other_inputs_make_other_calls(failed: flyte.Run) -> None:
    again = flyte.rerun("first", recover=True)
    executed.clear()
    third = flyte.rerun(again.name, recover=True, n=3)
    assert third.outputs() == (29,)
    assert executed == ["main", "prepare 2", "check"]


def test_a_forced_action_runs_with_those_that_called_it_and_its_other_calls_are_taken_over(failed: flyte.Run) -> None:
    (inner,) = [
        each.name
        for each in flyte.remote.Action.listall("first")
        if each.parent_name == named(failed, "middle")[0] and each.inputs() == {"x": 11}
    ]
    flyte.rerun("first", recover=True, force_rerun_actions=[inner]).wait()
    assert executed == ["main", "middle 10", "prepare 11", "check"]


def test_a_forced_action_that_is_not_there_is_said(failed: flyte.Run, caplog: pytest.LogCaptureFixture) -> None:
    flyte.rerun("first", recover=True, force_rerun_actions=["nowhere"]).wait()
    assert "run first has no action nowhere" in caplog.text


def test_a_single_action_is_run_again_as_a_run_of_its_own(failed: flyte.Run) -> None:
    again = flyte.rerun("first", action_name=named(failed, "middle")[0])
    assert (again.outputs(), executed) == ((23,), ["middle 10", "prepare 10", "prepare 11"])
    assert flyte.rerun("first", action_name=named(failed, "prepare")[0], x=41).outputs() == (42,)


def test_requests_that_contradict_themselves_are_refused(failed: flyte.Run) -> None:
    with pytest.raises(ValueError, match="force_rerun_actions requires recover=True"):
        flyte.rerun("first", force_rerun_actions=["a0"])
    with pytest.raises(ValueError, match="recover=True cannot be combined with action_name='abc'"):
        flyte.rerun("first", action_name="abc", recover=True)
    with pytest.raises(ActionNotFoundError, match="should have an action 'abc'"):
        flyte.rerun("first", action_name="abc")
    with pytest.raises(RunNotFoundError, match="should hold a run 'second'"):
        flyte.rerun("second")
    assert executed == []


def test_settings_are_those_of_the_earlier_run_unless_others_are_given(failed: flyte.Run) -> None:
    runner = flyte.with_runcontext("local", name="second", labels={"c": "d"}, custom_context={"k": "v"})
    runner.rerun("first")
    root = failed.url.removesuffix("/runs/first")
    spec = load_spec(open_store(root), RunId("second"))
    assert (spec["labels"], spec["env_vars"], spec["cache"]) == ({"a": "b", "c": "d"}, {}, "on")
    assert spec["rerun"] == {"run": "first", "action": "a0", "recover": None}


def test_a_run_is_started_anew_where_a_loop_runs(failed: flyte.Run) -> None:
    async def cell() -> object:
        return await (await flyte.rerun.aio("first", recover=True)).outputs.aio()

    assert asyncio.run(cell()) == (26,)


def test_a_changed_function_is_not_taken_over(failed: flyte.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    @env.task(short_name="edited")
    def prepare(x: int) -> int:
        executed.append(f"edited {x}")
        return x + 2

    prepare.spec.func.__qualname__ = "prepare"
    monkeypatch.setitem(globals(), "prepare", prepare)
    assert flyte.rerun("first", recover=True).outputs() == (30,)
    assert executed == ["main", "edited 0", "edited 1", "middle 10", "edited 10", "edited 11", "check"]


@env.task
def numbers(n: int) -> pa.Table:
    executed.append("numbers")
    return pa.table({"x": list(range(n))})


@env.task
def written(text: str, folder: str) -> File:
    executed.append("written")
    path = Path(folder, "text")
    path.write_text(text)
    return File.from_local_sync(path)


@env.task
def length(file: File) -> int:
    executed.append("length")
    with file.open_sync("r") as opened:
        return len(opened.read())


@env.task
def rows(table: pa.Table) -> int:
    executed.append("rows")
    return int(table.num_rows)


@env.task
def large(table: pa.Table, folder: str) -> int:
    executed.append("large")
    total = int(length(written("four", folder))) + int(rows(numbers(5))) + int(table.num_rows)
    return int(check(total))


@pytest.fixture
def failed_with_large_values(tmp_path: Path) -> flyte.Run:
    broken[:] = ["no"]
    run = flyte.with_runcontext("local", name="first").run(large, pa.table({"y": [1, 2]}), str(tmp_path))
    broken.clear()
    executed.clear()
    return run


def test_large_values_stay_where_they_are_and_calls_with_them_are_the_same(failed_with_large_values: flyte.Run) -> None:
    again = flyte.rerun("first", recover=True)
    assert (again.outputs(), executed) == ((11,), ["large", "check"])
    executed.clear()
    # Also from a run that had taken them over itself, and with an input that replaces the large one.
    assert flyte.rerun(again.name, recover=True).outputs() == (11,)
    assert flyte.rerun(again.name, recover=True, table=pa.table({"y": [1]})).outputs() == (10,)
    assert executed == ["large", "large", "check"]


def test_values_that_are_gone_are_named_and_computed_again_where_that_is_allowed(
    failed_with_large_values: flyte.Run, tmp_path: Path
) -> None:
    (text,) = (tmp_path / "root" / "runs" / "first" / "data").rglob("text")
    text.unlink()
    with pytest.raises(RuntimeUserError, match=r"those of 1 actions are gone, such as \w+ \(rerun.written\)") as caught:
        flyte.rerun("first", recover=True)
    assert caught.value.code == "SourceRunOutputsUnavailableError"
    assert executed == []
    assert flyte.rerun("first", recover=True, allow_missing_source_outputs=True).outputs() == (11,)
    assert executed == ["large", "written", "check"]
    for path in (tmp_path / "root" / "runs" / "first" / "data").glob("*.arrow"):
        path.unlink()
    with pytest.raises(RuntimeUserError, match="Input 'table' of first/a0 should lie in the store") as caught:
        flyte.rerun("first")
    assert caught.value.code == "SourceRunInputsUnavailableError"
    assert flyte.rerun("first", table=pa.table({"y": []})).outputs() == (9,)


def test_values_that_go_when_their_run_was_started_anew_already_are_computed_again(
    failed_with_large_values: flyte.Run, tmp_path: Path
) -> None:
    broken[:] = ["no"]
    store, again = open_store(tmp_path / "root"), flyte.rerun("first", recover=True)
    spec = load_spec(store, RunId(again.name))
    tasks = {each.name: each.task_name for each in Action.listall("first")}
    before = sorted(tasks[name] for name in load_outcomes(store, spec))
    assert before == ["rerun.length", "rerun.numbers", "rerun.rows", "rerun.written"]
    (text,) = (tmp_path / "root" / "runs" / "first" / "data").rglob("text")
    text.unlink()
    assert sorted(tasks[name] for name in load_outcomes(store, spec)) == ["rerun.length", "rerun.numbers", "rerun.rows"]


@env.task(cache="auto")
def cached(x: int) -> int:
    executed.append("cached")
    return x


@env.task
def approved(x: int) -> int:
    asked = flyte.new_condition("go", data_type=int)
    return int(check(int(cached(x)) + int(asked.wait())))


def test_conditions_and_cached_outcomes_are_taken_over() -> None:
    broken[:] = ["no"]
    with beside(lambda: waiting("r", "go").signal(5)):
        flyte.with_runcontext("local", name="r").run(approved, x=1)
    broken.clear()
    executed.clear()
    again = flyte.with_runcontext("local", overwrite_cache=True).rerun("r", recover=True)
    assert (again.outputs(), executed) == ((6,), ["check"])
    assert {action.phase.value for action in flyte.remote.Action.listall(again.name)} == {"succeeded", "recovered"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    assert "ValueError: broken" in made("submit", "--local", "--name", "r", "flow.py", "main", "--n", "2").stderr
    made.executed()
    return made


def test_the_command_takes_inputs_by_their_types_and_runs_the_code_on_record(project: Project) -> None:
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    done = project("rerun", "r", "--n", "3", "--recover", "--name", "s")
    assert (done.returncode, "ValueError: broken" in done.stderr) == (1, True)
    assert project.executed() == {"main": 1, "prepare": 1, "train": 1, "report": 1}
    assert "--n INTEGER  [default: 2]" in project("rerun", "r", "--help").stdout
    assert "recovers r" in project("get", "run").stdout
    for words, said in {
        ("--n", "x"): "Invalid value for '--n': expected INTEGER, got 'x'",
        ("--m", "1"): "No such option '--m'",
        ("--force-rerun-action", "a"): "force_rerun_actions requires recover=True",
        ("--allow-missing-outputs",): "allow_missing_source_outputs requires recover=True",
    }.items():
        done = project("rerun", "r", *words)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert project.executed() == {}


def test_the_command_starts_anew_with_edited_code_and_takes_over_what_that_did_not_change(project: Project) -> None:
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    project.edit("scaling.py", "x * 2", "x * 3")
    done = project("rerun", "--with-current-code", "--recover", "r")
    assert "again  2  flow.train    scaling.scale changed" in done.stderr
    assert "o0 = 10" in done.stdout, done.stderr
    assert project.executed() == {"main": 1, "train": 2, "report": 1}


def test_a_resumed_run_computes_again_what_was_removed_from_the_store(
    failed_with_large_values: flyte.Run, tmp_path: Path
) -> None:
    (text,) = (tmp_path / "root" / "runs" / "first" / "data").rglob("text")
    text.unlink()
    failed_with_large_values.resume()
    assert failed_with_large_values.outputs() == (11,)
    assert executed == ["large", "written", "check"]


def test_who_reads_what_was_removed_learns_what_it_was_and_that_resume_computes_it_again(tmp_path: Path) -> None:
    run = flyte.with_runcontext("local", name="removed").run(numbers, 5)
    (table,) = (tmp_path / "root" / "runs" / "removed" / "data").glob("*.arrow")
    table.unlink()
    message = rf"Action a0 of run 'removed' has succeeded, .* but .*{table.name} was removed from the store. '.*resume"
    with pytest.raises(ObjectMissing, match=message) as caught:
        run.outputs()
    assert caught.value.uri.endswith(table.name)
    executed.clear()
    run.resume()
    assert run.outputs()[0].num_rows == 5
    assert executed == ["numbers"]
    run.resume()
    assert executed == ["numbers"], "what is there is kept"
