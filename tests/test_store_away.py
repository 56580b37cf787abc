"""What becomes of a run whose store is away, full or read-only: it waits and says so, and ends as if nothing was."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import flyte_ray as flyte
from flyte_ray.api import runner
from flyte_ray.errors import StoreError
from flyte_ray.io import Dir, File
from flyte_ray.ledger import recorder
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.state import RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store
from tests.waiting import within

until = within(30)

AWAY_S = 1.5
env = flyte.TaskEnvironment("away")
root: Path
executed: list[str] = []


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path) -> Iterator[None]:
    global root
    root = tmp_path / "root"
    executed.clear()
    flyte.init(root=root)
    yield
    if (tmp_path / "away").exists():
        (tmp_path / "away").rename(root)


def go_away(seconds: float | None = AWAY_S) -> None:
    """Take the disk away, as by an unmount that leaves an empty folder, and bring it back after some seconds."""
    root.rename(root.with_name("away"))
    root.mkdir()
    if seconds is not None:
        threading.Timer(seconds, come_back).start()


def come_back() -> None:
    root.rmdir()  # fails if anything was written in place of the disk
    root.with_name("away").rename(root)


def recorded(run: flyte.Run) -> RunState:
    return load_state(open_store(root), RunId(run.name))


@env.task
def table(rows: int) -> pa.Table:
    executed.append("table")
    go_away()
    return pa.table({"x": list(range(rows))})


@env.task
def tables() -> int:
    return int(table(3).num_rows) + len(executed)


@env.task
async def tables_later() -> int:
    return int((await table.aio(3)).num_rows) + len(executed)


@env.task
def reads(file: File[Any], folder: Dir[Any]) -> str:
    go_away()
    with file.open_sync("r") as opened:
        text = opened.read()
    go_away()
    names = [each.name or "" for each in folder.walk_sync()]
    go_away()
    return " ".join([text, *names, Path(file.download_sync()).read_text()])


@env.task
def steps() -> int:
    @flyte.trace
    def paid(x: int) -> pa.Table:
        executed.append("paid")
        go_away()
        return pa.table({"x": [x]})

    return int(paid(1).num_rows)


@env.task
def saves() -> bytes:
    checkpoint = flyte.ctx().checkpoint
    go_away()
    checkpoint.save_sync(b"half of it")
    return b"done"


@pytest.mark.parametrize("task", [tables, tables_later])
def test_outputs_are_stored_when_the_store_is_back_and_nothing_runs_twice(task: Any) -> None:
    run = flyte.run(task)
    assert run.outputs() == (4,)
    assert {(each.attempts, each.failures) for each in recorded(run).actions.values()} == {(1, 0)}


def test_what_lies_elsewhere_is_stored_when_its_disk_is_back(tmp_path: Path) -> None:
    global root
    own, root = root, tmp_path / "raw"  # whose disk goes
    run = flyte.with_runcontext("local", raw_data_path=str(root)).run(tables)
    assert run.outputs() == (4,)
    root = own


def test_files_and_folders_are_read_when_the_store_is_back(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one")
    run = flyte.run(reads, File.from_local_sync(tmp_path / "in" / "a.txt"), Dir.from_local_sync(tmp_path / "in"))
    assert run.outputs() == ("one a.txt one",)


@env.task
def copies(file: File[Any], target: str) -> str:
    try:
        return file.download_sync(target)
    except OSError as error:
        return type(error).__name__


def test_a_copy_that_fails_at_its_other_end_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    target = tmp_path / "a.txt" / "copy"  # below a file
    assert flyte.run(copies, File.from_local_sync(tmp_path / "a.txt"), str(target)).outputs() == ("FileExistsError",)


def test_a_step_and_a_checkpoint_wait_for_the_store() -> None:
    assert flyte.run(steps).outputs() == (1,)
    assert executed == ["paid"]
    assert flyte.run(saves).outputs() == (b"done",)


@env.task
def square(x: int) -> int:
    executed.append(str(x))
    return x * x


@env.task
def many(n: int, gone: bool) -> int:
    if gone:
        go_away()
    return sum(flyte.map(square, range(n)))


def test_what_needs_no_store_goes_on_meanwhile_and_the_run_ends_when_all_is_stored() -> None:
    run = flyte.run(many, 200, True)
    assert run.outputs() == (sum(x * x for x in range(200)),)
    assert sorted(map(int, executed)) == list(range(200))


@env.task
def floods(n: int) -> int:
    run = flyte.Run.get(flyte.ctx().action.run_name)

    def mend() -> None:
        until(lambda: "no action begins until they are fewer" in str((run.look() or {}).get("waits_for_store")))
        executed.append("full")
        come_back()

    go_away(None)
    threading.Thread(target=mend).start()
    return sum(flyte.map(length, ["x" * 1000] * n))


@env.task
def length(text: str) -> int:
    executed.append("length")
    return len(text)


def test_no_action_begins_while_too_much_waits_to_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "CAP_BYTES", 50_000)
    assert flyte.run(floods, 200).outputs() == (200_000,)
    assert executed[0] == "full" and executed.count("length") == 200


@env.task(timeout=flyte.Timeout(max_runtime=timedelta(seconds=1.2)))
def limited() -> pa.Table:
    go_away(2.5)
    return pa.table({"x": [1]})


def test_the_wait_is_no_running_time() -> None:
    run = flyte.run(limited)
    assert run.phase.value == "succeeded"


@env.task
def stays_away() -> pa.Table:
    run = flyte.Run.get(flyte.ctx().action.run_name)

    def abort() -> None:
        until(lambda: "disk mounted" in str((run.look() or {}).get("waits_for_store")))
        run.abort_action("a0", "enough", timeout_s=0.1)  # it is stored when the store is back
        until(lambda: "left" in executed)
        come_back()

    go_away(None)
    threading.Thread(target=abort).start()
    try:
        flyte.ctx().checkpoint.save_sync(b"half of it")
    finally:
        executed.append("left")
    return pa.table({"x": [1]})


def test_an_action_that_waits_for_the_store_is_aborted_like_any_other() -> None:
    run = flyte.run(stays_away)
    assert run.phase.value == "aborted" and executed == ["left"]


class Flaky:
    """A store that errs at every third question, before or after it has done what was asked, and takes its time."""

    def __init__(self, inner: Store) -> None:
        self.inner, self.asked, self.erred = inner, itertools.count(), 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return partial(self.answer, found) if callable(found) else found

    def answer(self, call: Callable[..., Any], *args: Any) -> Any:
        number = next(self.asked)
        time.sleep(0.002)
        if number % 6 == 3:
            self.erred += 1
            raise StoreError("it erred before")
        done = call(*args)
        if number % 6 == 0:
            self.erred += 1
            raise StoreError("it erred behind")
        return done


def test_a_store_that_errs_and_delays_changes_nothing_but_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Flaky(open_store(root))
    store.answer = lambda call, *args: call(*args)  # type: ignore[method-assign]
    monkeypatch.setattr(runner, "current_store", lambda: store)

    @env.task
    def begins(n: int) -> int:
        del store.__dict__["answer"]
        return sum(int(each.num_rows) for each in flyte.map(rows, range(n)))

    run = flyte.run(begins, 30)
    assert recorded(run).root.result == str(sum(range(30)))
    assert store.erred > 10
    assert {(each.attempts, each.failures) for each in recorded(run).actions.values()} == {(1, 0)}


@env.task
def rows(n: int) -> pa.Table:
    return pa.table({"x": range(n)})


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 1 MiB as the root, where this machine lets us mount one."""
    root.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root]).returncode:
        pytest.skip("only root may mount a disk, and not in every container")
    yield root
    subprocess.run(["umount", "--lazy", root], check=True)


def fill() -> None:
    with contextlib.suppress(OSError), (root / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def empty() -> None:
    (root / "filler").unlink()


def remount(how: str) -> None:
    # A file that is open for writing keeps the disk as it is.
    until(lambda: subprocess.run(["mount", "-o", f"remount,{how}", root], stderr=subprocess.DEVNULL).returncode == 0)


TROUBLE: dict[str, tuple[Callable[[], None], Callable[[], None], str]] = {
    "full": (fill, empty, "No space left on device"),
    "read-only": (lambda: remount("ro"), lambda: remount("rw"), "Read-only file system"),
}


@env.task
def troubled(kind: str) -> int:
    begin, end, reason = TROUBLE[kind]
    run = flyte.Run.get(flyte.ctx().action.run_name)

    def mend() -> None:
        until(lambda: reason in str((run.look() or {}).get("waits_for_store")))
        executed.append("said")
        end()

    begin()
    threading.Thread(target=mend).start()
    return int(sum(flyte.map(square, range(5)))) + int(wide().num_rows)


@env.task
def wide() -> pa.Table:
    return pa.table({"x": range(1000)})


@pytest.mark.parametrize("kind", TROUBLE)
def test_a_full_or_read_only_disk_is_waited_for_and_named(small_disk: Path, kind: str) -> None:
    run = flyte.run(troubled, kind)
    assert run.outputs() == (1030,)
    assert sorted(executed) == ["0", "1", "2", "3", "4", "said"]
    assert {(each.attempts, each.failures) for each in recorded(run).actions.values()} == {(1, 0)}
    assert not list(small_disk.rglob(".writing-*"))


@pytest.mark.parametrize("kind", TROUBLE)
def test_nothing_is_started_on_a_full_or_read_only_disk(small_disk: Path, kind: str) -> None:
    begin, _, reason = TROUBLE[kind]
    begin()
    with pytest.raises(StoreError, match=f"root should be writable, but: .*{reason}. Choose another"):
        flyte.run(square, 2)
    assert executed == []


PROGRAM = """
import os
import flyte_ray as flyte

env = flyte.TaskEnvironment("ends")

@env.task
def ends(folder: str, marker: str) -> int:
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.rename(folder, folder + ".away")
        print("away", flush=True)
    return 1
"""


def cli(folder: Path, *words: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path(flyte.__file__).parents[1]), "FLYTE_RAY_ROOT": str(root)}
    command = [sys.executable, "-m", "flyte_ray.cli.main", *words]
    return subprocess.Popen(command, cwd=folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_second_ctrl_c_leaves_a_run_whose_store_stays_away_and_it_can_be_continued(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    given = ["program.py", "ends", "--folder", str(root), "--marker", str(tmp_path / "marker")]
    process = cli(tmp_path, "submit", "--local", "--name", "r", *given)
    assert process.stdout and process.stdout.readline() == "away\n"
    process.send_signal(signal.SIGINT)
    time.sleep(1)  # signals that come at once are one
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "waits: the store: " in err and "Is its disk mounted?" in err
    assert "its store does not answer.\nContinue it when that does: flyte-ray resume r" in err
    assert not root.exists()
    root.with_name("root.away").rename(root)
    out, err = cli(tmp_path, "resume", "r").communicate(timeout=60)
    assert "Run r: succeeded" in out, err
