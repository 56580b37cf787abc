"""Large values lie beside the log, once for each content, and `max_inline_io_bytes` bounds them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import flyte_ray as flyte
from flyte_ray.errors import InlineIOMaxBytesBreached, RuntimeUserError
from flyte_ray.ledger.query import load_past
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

env = flyte.TaskEnvironment("large")
NUMBERS = list(range(100_000))


class Opaque:
    def __init__(self, size: int) -> None:
        self.held = random.Random(1).randbytes(size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.held == self.held


@env.task
def reverse(numbers: list[int]) -> list[int]:
    return numbers[::-1]


@env.task
def twice(numbers: list[int]) -> list[int]:
    return reverse(reverse(numbers))


@env.task(cache="auto")
def count(numbers: list[int]) -> list[int]:
    ran.append(len(numbers))
    return numbers


ran: list[int] = []


@env.task
def hold(thing: Opaque, data: bytes, parts: dict[str, Any]) -> tuple[Opaque, bytes, dict[str, Any]]:
    return thing, data, parts


@env.task(max_inline_io_bytes=1000)
def narrow(text: str = "", data: bytes = b"") -> str:
    return text or "x" * 2000


@env.task(max_inline_io_bytes=1000)
def narrow_table(table: pa.Table) -> pa.Table:
    return table


@env.task
def calls_narrow(size: int) -> str:
    return narrow(data=bytes(size))


@flyte.trace
def traced(size: int) -> list[int]:
    traces.append(size)
    return list(range(size))


@flyte.trace
def stream(size: int) -> Any:
    traces.append(size)
    yield from range(size)


traces: list[int] = []


@env.task(retries=1)
def steps() -> int:
    found = sum(traced(50_000)) + sum(stream(50_000))
    if flyte.ctx().attempt_number == 0:
        raise ValueError("the steps are on record")
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    flyte.init(root=tmp_path)
    return tmp_path


def run(task: Any, *args: Any) -> Any:
    return flyte.with_runcontext("local").run(task, *args)


def sizes(root: Path, name: str, what: str) -> list[int]:
    return sorted(path.stat().st_size for path in (root / "runs" / name / what).rglob("*") if path.is_file())


def test_a_large_value_lies_beside_the_log_once_for_all_who_take_or_give_it(root: Path) -> None:
    done = run(twice, NUMBERS)
    assert done.outputs() == (NUMBERS,)
    # The numbers as they were given and come back, and reversed.
    assert len(sizes(root, done.name, "data")) == 2
    assert sum(sizes(root, done.name, "log")) < 64 * 1024
    again = flyte.remote.Run.get(done.name)
    assert again.outputs() == (NUMBERS,)
    assert again.inputs() == {"numbers": NUMBERS}
    assert again.inputs(twice) == {"numbers": NUMBERS}


def test_large_pickles_and_bytes_lie_beside_the_log_as_they_are(root: Path) -> None:
    thing, data = Opaque(100_000), bytes(200_000)
    with pytest.warns(UserWarning, match="Values of type Opaque have no typed form: pickled"):
        done = run(hold, thing, data, {"a": [data]})
    assert done.outputs() == (thing, data, {"a": [data]})
    found = {path.suffix: path.stat().st_size for path in (root / "runs" / done.name / "data").iterdir()}
    assert found[".bin"] == 200_000
    assert 100_000 <= found[".pickle"] < 101_000


def test_a_kept_outcome_that_is_large_is_used_while_it_is_there(root: Path) -> None:
    ran.clear()
    first, second = run(count, NUMBERS), run(count, NUMBERS)
    assert second.outputs() == (NUMBERS,)
    assert len(ran) == 1
    for path in (root / "runs" / first.name / "data").iterdir():
        path.unlink()
    assert run(count, NUMBERS).outputs() == (NUMBERS,)
    assert len(ran) == 2


def test_steps_with_large_results_are_answered_from_the_record(root: Path) -> None:
    traces.clear()
    done = run(steps)
    assert done.outputs() == (2 * sum(range(50_000)),)
    assert traces == [50_000, 50_000]
    assert sum(sizes(root, done.name, "log")) < 64 * 1024
    assert len(load_past(open_store(root), RunId(done.name), "a0").steps) == 2


def test_inputs_over_the_limit_fail_at_the_call(root: Path) -> None:
    with pytest.raises(
        InlineIOMaxBytesBreached,
        match=r"Task 'large.narrow': its inputs may take 1,000 bytes .+, got 100,0\d\d\. Pass them",
    ):
        run(narrow, "x" * 100_000)
    assert not list(root.glob("runs/*/spec.json"))
    error = run(calls_narrow, 1_000_000).error
    assert isinstance(error, RuntimeUserError)
    assert error.code == "InlineIOMaxBytesBreached"
    assert "got 1,000,1" in str(error)


def test_outputs_over_the_limit_fail_the_action(root: Path) -> None:
    error = run(narrow).error
    assert error.code == "InlineIOMaxBytesBreached"
    assert "its outputs may take 1,000 bytes" in str(error)


def test_tables_do_not_count(root: Path) -> None:
    table = pa.table({"a": NUMBERS})
    assert run(narrow_table, table).outputs() == (table,)
