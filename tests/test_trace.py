"""Steps, durable values and checkpoints of tasks that are tried again, as a user sees them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest

import flyte_ray as flyte
from flyte_ray.errors import NonRecoverableError, RuntimeUserError, TraceDoesNotAllowNestedTasksError
from flyte_ray.runtime.local import LocalRun
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from flyte_ray.types.signing import Pickling

env = flyte.TaskEnvironment("traced")
executed: list[str] = []
drawn: list[Any] = []


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    executed.clear()
    drawn.clear()
    flyte.init(root=tmp_path)
    return tmp_path


def run(task: Any, **inputs: Any) -> Any:
    outputs = flyte.run(task, **inputs).outputs()
    return outputs[0] if outputs else None


def fail_first_attempt() -> None:
    if flyte.ctx().attempt_number == 0:
        raise ValueError("the first attempt fails")


@flyte.trace
def draw(low: int) -> float:
    executed.append(f"draw {low}")
    return low + random.random()


@flyte.trace
async def draw_later(low: int) -> list[float]:
    executed.append(f"draw_later {low}")
    await asyncio.sleep(0)
    return [low + random.random()]


@env.task(retries=1)
def draws() -> None:
    drawn.append([draw(1), draw(1), draw(low=2)])
    fail_first_attempt()


def test_a_task_that_is_tried_again_gets_its_steps_from_the_record() -> None:
    run(draws)
    assert executed == ["draw 1", "draw 1", "draw 2"]
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1], "two calls are two steps, each with its own result"


@env.task(retries=1)
async def draws_later() -> None:
    drawn.append(await asyncio.gather(*(draw_later(low) for low in range(3))))
    fail_first_attempt()


def test_async_steps_are_answered_from_the_record() -> None:
    run(draws_later)
    assert len(executed) == 3
    assert drawn[0] == drawn[1]


def test_outside_a_task_it_is_the_function() -> None:
    assert 1 <= draw(1) < 2
    assert asyncio.run(draw_later(3))[0] >= 3
    assert list(tokens(2)) == ["0", "1"]
    assert draw.__name__ == "draw"


@flyte.trace
def tokens(n: int) -> Generator[str, None, int]:
    for index in range(n):
        executed.append(f"token {index}")
        yield str(index)
    return n


@flyte.trace
async def tokens_later(n: int) -> AsyncIterator[str]:
    for index in range(n):
        executed.append(f"later {index}")
        yield str(index)


@env.task(retries=1)
async def streams() -> list[str]:
    result = [*tokens(2), *[item async for item in tokens_later(2)]]
    fail_first_attempt()
    return result


def test_generators_give_their_recorded_items() -> None:
    assert run(streams) == ["0", "1", "0", "1"]
    assert executed == ["token 0", "token 1", "later 0", "later 1"]


@env.task(retries=1)
def stops_early() -> str:
    first = next(iter(tokens(5)))
    fail_first_attempt()
    return first


def test_a_generator_that_was_not_taken_to_its_end_runs_again() -> None:
    assert run(stops_early) == "0"
    assert executed == ["token 0", "token 0"]


@flyte.trace
def fails(how: str) -> None:
    executed.append(how)
    raise NonRecoverableError("no use") if how == "for good" else OSError("not now")


@env.task(retries=1)
def meets_errors() -> list[str]:
    met = []
    for how in ("for good", "for now"):
        try:
            fails(how)
        except (NonRecoverableError, OSError) as error:
            met.append(f"{type(error).__name__}: {error}")
    fail_first_attempt()
    return met


def test_only_an_error_for_good_is_raised_from_the_record() -> None:
    assert run(meets_errors) == ["NonRecoverableError: no use", "OSError: not now"]
    assert executed == ["for good", "for now", "for now"]


@env.task
def child() -> int:
    return 1


@flyte.trace
def calls_a_task() -> int:
    return child()


@env.task
def nests_a_task() -> int:
    return calls_a_task()


def test_a_step_may_not_call_a_task() -> None:
    with pytest.raises(TraceDoesNotAllowNestedTasksError, match=r"'traced.child'.*'calls_a_task'"):
        run(nests_a_task)


@flyte.trace
def outer() -> float:
    return draw(1)


@env.task(retries=1)
def nests_a_step() -> None:
    drawn.append([outer(), draw(1)])
    fail_first_attempt()


def test_a_step_inside_another_keeps_the_others_in_count() -> None:
    run(nests_a_step)
    assert drawn[0] == drawn[1]
    assert len(executed) == 2


class Model:
    @flyte.trace
    def answer(self, *words: str, **more: Any) -> Any:
        executed.append("answer")
        return (self, words, more)


@env.task(retries=1)
def takes_anything() -> str:
    _, words, more = Model().answer("a", "b", c=len)
    fail_first_attempt()
    return f"{words} {sorted(more)}"


@pytest.mark.filterwarnings("ignore:Values of type")
def test_any_arguments_are_taken() -> None:
    assert run(takes_anything) == "('a', 'b') ['c']"
    assert executed == ["answer"]


@flyte.trace
def gives_a_lock() -> Any:
    import threading

    return threading.Lock()


@env.task
def takes_a_lock() -> None:
    gives_a_lock()


@pytest.mark.filterwarnings("ignore:Values of type")
def test_what_cannot_be_recorded_is_named() -> None:
    with pytest.raises(RuntimeUserError, match="'gives_a_lock' gives must be recorded.*got lock"):
        run(takes_a_lock)


def test_only_functions_are_traced() -> None:
    with pytest.raises(TypeError, match="expects a function, got AsyncFunctionTaskTemplate"):
        flyte.trace(child)


seen: list[Any] = []


@env.task(retries=1)
async def asks_the_clock() -> None:
    durable = flyte.durable
    seen.append([durable.now(), durable.time(), durable.random(), durable.uuid()])
    seen[-1] += [
        await durable.now.aio(),
        await durable.time.aio(),
        await durable.random.aio(),
        await durable.uuid.aio(),
    ]
    fail_first_attempt()


def test_durable_values_are_equal_in_every_attempt() -> None:
    seen.clear()
    run(asks_the_clock)
    assert seen[0] == seen[1]
    assert seen[0][3] != seen[0][7], "each call has a value of its own"


@env.task(retries=1)
def sleeps() -> float:
    began = time.perf_counter()
    flyte.durable.sleep(0.4)
    asyncio.run(flyte.durable.sleep.aio(0.4))
    fail_first_attempt()
    return time.perf_counter() - began


def test_what_was_slept_is_not_slept_again() -> None:
    began = time.perf_counter()
    assert run(sleeps) < 0.8
    assert time.perf_counter() - began >= 0.8


def test_durable_functions_outside_a_task_are_the_plain_ones() -> None:
    assert abs(flyte.durable.time() - time.time()) < 5
    assert flyte.durable.now().tzinfo is None
    asyncio.run(flyte.durable.sleep.aio(0.01))


@env.task(retries=3)
def trains(form: str) -> list[str]:
    checkpoint = flyte.ctx().checkpoint
    found = checkpoint.load_sync()
    if found is not None and form == "folder":
        found = found / "inner" / "weights"
    told = found.read_text() if found else "nothing"
    seen.append((flyte.ctx().attempt_number, checkpoint.prev_exists(), told))
    if flyte.ctx().attempt_number == 3:
        return [told]
    for step in range(2):
        save(checkpoint, form, f"{told}, {flyte.ctx().attempt_number}.{step}")
    if flyte.ctx().attempt_number == 1:
        assert checkpoint.load_sync() is not None  # still what it was handed
    raise ValueError("cut off")


def save(checkpoint: flyte.Checkpoint, form: str, text: str) -> None:
    if form == "bytes":
        checkpoint.save_sync(text.encode())
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "inner", "weights")
        path.parent.mkdir()
        path.write_text(text)
        if form == "file":
            asyncio.run(checkpoint.save(path))
        else:
            checkpoint.save_sync(folder)


@pytest.mark.parametrize("form", ["bytes", "file", "folder"])
def test_each_attempt_is_handed_what_the_one_before_saved_last(form: str, root: Path) -> None:
    seen.clear()
    run(trains, form=form)
    assert seen == [
        (0, False, "nothing"),
        (1, True, "nothing, 0.1"),
        (2, True, "nothing, 0.1, 1.1"),
        (3, True, "nothing, 0.1, 1.1, 2.1"),
    ]
    kept = list(root.glob("runs/*/data/checkpoints/a0/*"))
    assert len(kept) == 2, "the one handed over and the newest"


def test_a_checkpoint_of_a_missing_file_is_refused() -> None:
    with pytest.raises(RuntimeUserError, match="there is none"):
        run(saves_nothing)


@env.task
def saves_nothing() -> None:
    flyte.ctx().checkpoint.save_sync("no such file")


def test_the_newest_checkpoint_of_a_folder_is_found(tmp_path: Path) -> None:
    for name, at in (("old", 1), ("new", 2)):
        path = tmp_path / name / "last.ckpt"
        path.parent.mkdir()
        path.touch()
        os.utime(path, (at, at))
    assert flyte.latest_checkpoint(tmp_path) == tmp_path / "new" / "last.ckpt"
    assert flyte.latest_checkpoint(tmp_path, "*.none") is None


broken: list[bool] = []


@env.task
def is_repaired_later() -> str:
    value = f"{draw(1):.6f}"
    if broken:
        raise ValueError("not yet repaired")
    return value


def test_a_failed_run_that_is_resumed_finds_its_steps_and_the_command_line_shows_them(root: Path) -> None:
    broken.append(True)
    failed = flyte.with_runcontext(name="broken").run(is_repaired_later)
    assert failed.phase.value == "failed"
    broken.clear()
    LocalRun(open_store(root), RunId("broken"), Pickling()).resume({}, take_over=False)
    assert executed == ["draw 1"]
    show = [sys.executable, "-m", "flyte_ray.cli.main", "get", "action", "--root", str(root), "broken", "a0"]
    row = json.loads(subprocess.check_output([*show, "-o", "json"]))[0]
    assert [(step["step"], step["outcome"]) for step in row["steps"]] == [("draw", "succeeded")]
    assert "draw" in subprocess.check_output(show, text=True)
