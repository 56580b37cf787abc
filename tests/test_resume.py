"""Runs that are continued: what is kept, what runs again and why, also with edited code."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

import flyte_ray as flyte
from flyte_ray.api.run import Run
from flyte_ray.cli.following import _end as interrupted
from flyte_ray.cli.main import main
from flyte_ray.errors import ActionAbortedError, CodeBundleError, InvalidDeclaration
from flyte_ray.ledger.events import RESUMED
from flyte_ray.ledger.log import read_segments
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.service import Ledger
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests.unit.test_ledger_faults import TASK
from tests.unit.test_taking_over import Room
from tests.waiting import within

wait_until = within(60)

FLOW = """
    import os
    import flyte_ray as flyte
    from scaling import scale

    env = flyte.TaskEnvironment("flow")

    def note(text):
        with open(os.environ["COUNTS"], "a") as file:
            file.write(text + "\\n")

    @env.task
    def prepare(x: int) -> int:
        note("prepare")
        return x + 1

    @env.task
    def leaf(x: int) -> int:
        note("leaf")
        return x

    @env.task
    def middle(x: int) -> int:
        note("middle")
        return leaf(x) if x < 5 else 0

    @env.task(cache="auto")
    def train(x: int) -> int:
        note("train")
        return scale(x)

    @env.task
    def report(x: int) -> int:
        note("report")
        raise ValueError("broken")

    @env.task
    def main(n: int) -> int:
        note("main")
        found = sum(train(prepare(x)) for x in range(n))
        return report(found + middle(1) + middle(9))
"""
SCALING = "def scale(x):\n    return x * 2\n"


class Project:
    """A project of two files, and commands that run it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.counts = folder, folder / "root", folder / "counts"
        (folder / "flow.py").write_text(textwrap.dedent(FLOW))
        (folder / "scaling.py").write_text(SCALING)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        assert old in path.read_text()
        later = path.stat().st_mtime + 1
        path.write_text(path.read_text().replace(old, new))
        # Python takes bytecode for current that has its source's size and second: a quick test edits within one.
        os.utime(path, (later, later))

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "COUNTS": str(self.counts), "FLYTE_RAY_ROOT": str(self.root)}
        command = [sys.executable, "-m", "flyte_ray.cli.main", *words]
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)

    def executed(self) -> dict[str, int]:
        """What has run since this was last asked."""
        found = Counter(self.counts.read_text().split()) if self.counts.exists() else Counter()
        self.counts.unlink(missing_ok=True)
        return dict(found)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    failed = made("submit", "--local", "--name", "r", "flow.py", "main", "--n", "2")
    assert "ValueError: broken" in failed.stderr
    assert made.executed() == {"main": 1, "prepare": 2, "train": 2, "middle": 2, "leaf": 1, "report": 1}
    return made


def test_a_failed_run_is_resumed_with_the_code_it_began_with(project: Project) -> None:
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    done = project("resume", "r")
    assert (done.returncode, "ValueError: broken" in done.stderr) == (1, True)
    assert project.executed() == {"main": 1, "report": 1}


def test_edited_code_runs_again_what_it_changed_and_says_which_function_that_was(project: Project) -> None:
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    project.edit("scaling.py", "x * 2", "x * 3")
    planned = project("resume", "--with-current-code", "--dry-run", "r")
    assert [line.split(maxsplit=3) for line in planned.stderr.splitlines()[1:]] == [
        ["again", "1", "flow.main", "had failed"],
        ["keep", "2", "flow.prepare"],
        ["again", "2", "flow.train", "scaling.scale changed"],
        ["keep", "2", "flow.middle"],
        ["keep", "1", "flow.leaf"],
        ["again", "1", "flow.report", "had failed; flow.report changed"],
    ]
    assert project.executed() == {}
    done = project("resume", "--with-current-code", "r")
    assert "o0 = 10" in done.stdout, done.stderr
    assert project.executed() == {"main": 1, "train": 2, "report": 1}
    # It goes on with that code from now on: there is nothing left to do, and its cache has the new outcomes.
    assert "has succeeded already" in project("resume", "--with-current-code", "r").stderr
    fresh = project("submit", "--local", "flow.py", "main", "--n", "2")
    assert "o0 = 10" in fresh.stdout
    assert "train" not in project.executed()


def test_what_called_an_edited_task_runs_again_and_what_did_not_call_it_is_kept(project: Project) -> None:
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    project.edit("flow.py", 'note("leaf")\n    return x', 'note("leaf")\n    return 100 * x')
    done = project("resume", "--with-current-code", "r")
    assert "again  1  flow.middle   it called flow.leaf, which runs again" in done.stderr
    assert "keep   1  flow.middle" in done.stderr
    assert "o0 = 106" in done.stdout
    assert project.executed() == {"main": 1, "middle": 1, "leaf": 1, "report": 1}


def test_a_person_overrules_what_an_edit_means(project: Project) -> None:
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    project.edit("scaling.py", "x * 2", "x * 3")
    done = project("resume", "--with-current-code", "--keep", "train", "--again", "flow.prepare", "r")
    assert "again  2  flow.prepare  asked for" in done.stderr
    assert "o0 = 7" in done.stdout
    assert project.executed() == {"main": 1, "prepare": 2, "report": 1}


def test_a_run_that_was_resumed_with_edited_code_goes_on_with_that(project: Project) -> None:
    project.edit("flow.py", 'ValueError("broken")', 'KeyError("broken again")')
    assert "broken again" in project("resume", "--with-current-code", "r").stderr
    project.edit("flow.py", 'raise KeyError("broken again")', "return x")
    again = project("resume", "r").stderr
    assert "broken again" in again
    assert f'File "{project.folder / "flow.py"}"' in again  # not its copy, which is what runs


def test_a_run_of_a_script_is_compared_with_its_file(tmp_path: Path) -> None:
    project = Project(tmp_path)
    start = 'if __name__ == "__main__":\n    flyte.with_runcontext("local", name="r").run(main, n=1)\n'
    file = tmp_path / "flow.py"
    file.write_text(file.read_text() + start)
    environ = {**os.environ, "COUNTS": str(project.counts), "FLYTE_RAY_ROOT": str(project.root)}
    subprocess.run([sys.executable, str(file)], env=environ, check=True)
    project.executed()
    project.edit("flow.py", 'raise ValueError("broken")', "return x")
    project.edit("scaling.py", "x * 2", "x * 3")
    done = project("resume", "--with-current-code", "r")
    assert "o0 = 4" in done.stdout, done.stderr
    assert project.executed() == {"main": 1, "train": 1, "report": 1}


def test_a_root_that_takes_other_inputs_now_is_refused(project: Project) -> None:
    project.edit("flow.py", "def main(n: int)", "def main(n: int, rate: float)")
    done = project("resume", "--with-current-code", "r")
    assert done.returncode == 2
    assert "should take the inputs that the run began with, n, but takes n, rate now" in " ".join(done.stderr.split())


def test_a_file_that_has_gone_is_named(project: Project) -> None:
    (project.folder / "flow.py").unlink()
    done = project("resume", "--with-current-code", "r")
    assert (done.returncode, "which is not there. Continue it from Python" in done.stderr) == (2, True)


# In one process: today's code is what it has imported.

env = flyte.TaskEnvironment("resumed")
executed: list[str] = []
broken: list[str] = []


@env.task
def step(x: int) -> int:
    executed.append(f"step {x}")
    return x


@env.task
def last(x: int) -> int:
    executed.append("last")
    if broken:
        raise ValueError(broken[0])
    return x


@env.task
def chain(n: int) -> int:
    return int(last(sum(step(x) for x in range(n))))


@pytest.fixture(autouse=True)
def begin_anew() -> None:
    executed.clear()
    broken.clear()


@pytest.fixture
def failed(tmp_path: Path) -> flyte.Run:
    flyte.init(root=str(tmp_path / "root"))
    broken[:] = ["not yet"]
    run = flyte.with_runcontext("local").run(chain, n=2)
    assert (run.phase.value, executed) == ("failed", ["step 0", "step 1", "last"])
    executed.clear()
    broken.clear()
    return run


def test_a_run_is_resumed_from_python_and_keeps_what_has_succeeded(failed: flyte.Run) -> None:
    found = flyte.remote.Run.get(failed.name)
    assert found.resume() is found
    assert (found.outputs(), executed) == ((1,), ["last"])
    found.resume()  # it has succeeded: nothing happens
    assert executed == ["last"]


def test_a_run_is_resumed_from_python_with_the_code_of_this_process(failed: flyte.Run) -> None:
    assert failed.resume(with_current_code=True, again=["step"]).outputs() == (1,)
    assert executed == ["step 0", "step 1", "last"]


def test_a_run_is_resumed_where_a_loop_runs(failed: flyte.Run) -> None:
    async def cell() -> object:
        return await (await failed.resume.aio()).outputs.aio()

    assert asyncio.run(cell()) == (1,)


def test_wrong_choices_are_named_in_a_sentence(failed: flyte.Run) -> None:
    with pytest.raises(InvalidDeclaration, match="keep and again are for with_current_code=True"):
        failed.resume(keep=["step"])
    with pytest.raises(InvalidDeclaration, match=r"got 'stop'. It has: resumed.chain, resumed.last, resumed.step"):
        failed.resume(with_current_code=True, again=["stop"])
    with pytest.raises(InvalidDeclaration, match=r"either kept or run again, got both for resumed.step"):
        failed.resume(with_current_code=True, again=["step"], keep=["resumed.step"])
    assert executed == []


@env.task
async def lasting() -> int:
    executed.append("lasting")
    await asyncio.sleep(60 if broken else 0)
    return 1


@env.task
async def waits(n: int) -> int:
    return sum([await step.aio(x) for x in range(n)]) + await lasting()


def test_an_aborted_run_is_resumed(tmp_path: Path) -> None:
    flyte.init(root=str(tmp_path / "root"))
    broken[:] = ["yet"]
    runner = flyte.with_runcontext("local", name="aborted")
    with ThreadPoolExecutor() as pool:
        run = pool.submit(runner.run, waits, n=2)
        wait_until(lambda: "lasting" in executed)
        wait_until(lambda: len(flyte.remote.Action.listall("aborted", in_phase="succeeded")) == 2)
        flyte.remote.Run.get("aborted").abort_action("a0", "enough")
        with pytest.raises(ActionAbortedError, match="enough"):
            run.result().outputs()
    broken.clear()
    assert run.result().resume().outputs() == (2,)
    assert executed == ["step 0", "step 1", "lasting", "lasting"]


def test_a_task_that_is_declared_nowhere_any_more_is_named(failed: flyte.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules[__name__], "chain")
    with pytest.raises(CodeBundleError, match="should hold the task 'resumed.chain' that run"):
        failed.resume(with_current_code=True)


def test_the_record_says_why_outcomes_count_no_more(failed: flyte.Run, tmp_path: Path) -> None:
    failed.resume(with_current_code=True, again=["step"])
    segments = read_segments(open_store(tmp_path / "root"), RunId(failed.name))
    (resumed,) = [event for _, segment in segments for event in segment.events if event.kind == RESUMED]
    assert list(json.loads(resumed.body or "")["changed"].values()) == ["asked for"]


def test_a_run_that_lives_elsewhere_is_refused_before_a_ray_is_started_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", 0.05)
    monkeypatch.setattr("flyte_ray.ledger.lease.LOOK_S", 0.01)
    monkeypatch.setattr("flyte_ray.ledger.holding.KEEP_S", 0.01)
    begun: list[str] = []
    monkeypatch.setattr("flyte_ray.cli.resuming.has_cluster", lambda address: False)
    monkeypatch.setattr("flyte_ray.cli.resuming.start_ray", begun.append)
    elsewhere = Ledger(open_store(tmp_path), Room(), "another cluster")
    elsewhere.start(Start(RunId("lives"), "n", TASK, "3", about={"mode": "remote"}))
    try:
        done = CliRunner().invoke(main, ["resume", "--root", str(tmp_path), "lives"], prog_name="flyte-ray")
    finally:
        elsewhere.close()
    assert (done.exit_code, begun) == (1, [])
    assert "Run 'lives' is held by another cluster" in done.output and "which is alive" in done.output


@env.task
def quick(x: int) -> int:
    return x


def test_who_interrupts_a_run_that_ended_meanwhile_is_told_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flyte.init(root=str(tmp_path))
    run = flyte.with_runcontext("local", name="quick").run(quick, 1)
    looks = iter([False])
    monkeypatch.setattr(Run, "done", lambda self: next(looks, True))  # it ends between the look and the abort
    monkeypatch.setattr(Run, "look", lambda self: {})
    told = interrupted(open_store(tmp_path), run)
    assert told.startswith("Interrupted, but run quick had ended by itself: succeeded. Look at it: flyte-ray get run")
