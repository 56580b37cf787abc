"""Tables and arrays go from task to task by content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import flyte_ray as flyte

env = flyte.TaskEnvironment("tables")
ran: list[str] = []


@env.task(cache="auto")
def mean(frame: pd.DataFrame) -> float:
    ran.append("mean")
    return float(frame["a"].mean())


@env.task(cache="auto")
def double(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    ran.append("double")
    return array * 2


@env.task
def orders(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return arrays


@env.task
def frames(count: int) -> list[pd.DataFrame]:
    return [pd.DataFrame({"a": np.arange(300_000.0)}) for _ in range(count)]


@env.task
def make(rows: int) -> pa.Table:
    return pa.table({"a": range(rows)})


@env.task
def same(table: pa.Table) -> pa.Table:
    return table


@env.task
def hand_on(rows: int) -> tuple[pa.Table, int]:
    before = pa.total_allocated_bytes()
    table = same(same(make(rows)))
    return table, pa.total_allocated_bytes() - before


@flyte.trace
def first(frame: pd.DataFrame, more: pa.Table) -> float:
    ran.append("first")
    return float(frame["a"][0])


@env.task(retries=1)
def steps() -> list[float]:
    table = pa.table({"a": range(100_000)})
    found = [first(pd.DataFrame({"a": [value]}), table) for value in (1.0, 2.0)]
    if "fail" not in ran:
        ran.append("fail")
        raise ValueError("the steps are on record")
    return [*found, found[0]]


@env.task
def as_frames(frame: pd.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, pd.DataFrame]:
    frame.loc[0, "a"] = 100.0  # what a task is given is its own
    return rows, frame


@pytest.fixture
def root(tmp_path: Path) -> Path:
    ran.clear()
    flyte.init(root=tmp_path)
    return tmp_path


def run(task: Any, *args: Any) -> Any:
    return flyte.with_runcontext("local").run(task, *args)


def test_equal_frames_are_answered_from_the_cache_and_others_are_not(root: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    assert run(mean, frame).outputs() == (1.5,)
    assert run(mean, pd.concat([frame[:1], frame[1:]])).outputs() == (1.5,)
    assert ran == ["mean"]
    run(mean, frame[::-1])
    assert ran == ["mean", "mean"]


def test_equal_arrays_are_answered_from_the_cache(root: Path) -> None:
    for array in (np.arange(10.0), np.arange(10.0), np.arange(100_000.0), np.arange(200_000.0)[::2] / 2):
        assert run(double, array).outputs()[0][1] == 2.0
    assert ran == ["double", "double"]


def test_arrays_of_equal_values_and_another_order_are_told_apart(root: Path) -> None:
    large = np.ones((300, 300))
    found = run(orders, [large, np.asfortranarray(large)]).outputs()[0]
    assert [array.flags.c_contiguous for array in found] == [True, False]


def test_a_table_that_is_handed_on_is_stored_once_and_never_copied(root: Path) -> None:
    done = run(hand_on, 500_000)
    table, allocated = done.outputs()
    assert table.num_rows == 500_000
    assert allocated < 1_000_000
    (stored,) = (root / "runs" / done.name / "data").iterdir()
    with pa.memory_map(str(stored)) as file:
        assert pa.ipc.open_file(file).read_all().equals(table)


@env.task
def width(frame: pd.DataFrame) -> int:
    return len(frame.columns)


@env.task
def passes_twice() -> list[int]:
    frame = pd.DataFrame({"a": np.arange(300_000.0)})
    found = []
    for _ in range(2):
        width(frame)
        context = flyte.ctx()
        assert context is not None
        (stored,) = Path("root", "runs", context.run_name, "data").iterdir()
        found.append(stored.stat().st_ino)
    return found


def test_a_large_frame_that_is_passed_again_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flyte.init(root="root")
    first, second = run(passes_twice).outputs()[0]
    assert first == second


def test_equal_large_frames_are_one_file(root: Path) -> None:
    done = run(frames, 3)
    (stored,) = (root / "runs" / done.name / "data").iterdir()
    with pa.memory_map(str(stored)) as file:
        assert pa.ipc.open_file(file).read_all().num_rows == 300_000


def test_the_inputs_of_a_step_are_told_apart_by_content_and_not_stored(root: Path) -> None:
    done = run(steps)
    assert done.outputs() == ([1.0, 2.0, 1.0],)
    assert ran == ["first", "first", "fail"]
    assert not (root / "runs" / done.name / "data").exists()


def test_what_a_task_gets_may_be_changed_without_harm(root: Path) -> None:
    frame, rows = pd.DataFrame({"a": [1.0, 2.0]}), pl.DataFrame({"a": [1]})
    back, changed = run(as_frames, frame, rows).outputs()
    assert back.equals(rows)
    assert changed["a"].tolist() == [100.0, 2.0]
    assert frame["a"].tolist() == [1.0, 2.0]


def test_a_table_of_another_library_is_refused_at_the_call(root: Path) -> None:
    with pytest.raises(
        TypeError, match=r"parameter 'frame': expected pandas\.DataFrame, got DataFrame shape: \(1, 1\)"
    ):
        run(mean, pl.DataFrame({"a": [1]}))
    with pytest.raises(TypeError, match=r"expected numpy\.ndarray of float64, got ndarray array\(\[1, 2\]\)"):
        run(double, np.array([1, 2]))


def test_a_table_that_was_deleted_is_named(root: Path) -> None:
    done = run(same, pa.table({"a": [1]}))
    (stored,) = (root / "runs" / done.name / "data").iterdir()
    stored.unlink()
    gone = f"file://{stored} was removed from the store. 'flyte-ray resume {done.name}"
    with pytest.raises(FileNotFoundError, match=gone):
        flyte.remote.Run.get(done.name).outputs(same)


def test_outputs_are_read_without_their_task(root: Path) -> None:
    done = run(as_frames, pd.DataFrame({"a": [1.0, 2.0]}), pl.DataFrame({"a": [1]}))
    outputs = flyte.remote.Run.get(done.name).outputs()
    assert [type(output) for output in outputs] == [pl.DataFrame, pd.DataFrame]


IMPORTS = """
import sys
from dataclasses import dataclass
import flyte_ray as flyte

env = flyte.TaskEnvironment("bare")

@dataclass
class Config:
    rates: list[float]

@env.task
def first(config: Config, more: dict) -> float:
    return config.rates[0]

assert flyte.with_runcontext("local").run(first, Config([1.5]), {"a": (1, b"x")}).outputs() == (1.5,)
print([name for name in ("pandas", "polars", "torch", "ray", "pydantic", "fsspec") if name in sys.modules])
"""


def test_no_library_is_imported_that_the_user_has_not(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IMPORTS)
    code = {"PYTHONPATH": str(Path(__file__).parent.parent), "FLYTE_RAY_ROOT": str(tmp_path / "root"), "PATH": "/bin"}
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=code, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == "[]\n"
