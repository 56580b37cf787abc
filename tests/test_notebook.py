"""Runs from the cells of a notebook, in a real kernel: local mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import Kernel, kernel, pictures, traceback_of
from tests.ray_cluster import TOP

DECLARED = """
import os, time
import flyte_ray as flyte

env = flyte.TaskEnvironment("cells", cache="auto")

def grown(x: int) -> int:
    return x * 2

@env.task
def double(x: int) -> int:
    return grown(x)

@env.task
def total(n: int) -> int:
    with flyte.group("all"):
        return sum(flyte.map(double, range(n)))
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("k")
    with kernel(folder, {"FLYTE_RAY_ROOT": str(folder / "root")}) as running:
        running.run(DECLARED)
        yield running


def test_a_run_shows_itself_once_in_its_cell_with_its_tree_and_its_outputs(cells: Kernel) -> None:
    (shown,) = pictures(cells.run("run = flyte.run(total, 4)\nrun"))
    assert "5 succeeded" in shown and "<code>cells.double</code> <span class='flyte-dim'>&times;4" in shown
    assert "<pre>12</pre>" in shown
    assert len(pictures(cells.run("flyte.remote.Run.get(run.name)"))) == 1
    (part,) = pictures(cells.run("flyte.remote.Action.listall(run.name)[1]"))
    assert "1 succeeded" in part


def test_what_a_cell_awaits_is_shown_too(cells: Kernel) -> None:
    outputs = cells.run("(await flyte.run.aio(total, 5)).outputs()")
    assert outputs[-1]["data"]["text/plain"] == "(20,)"
    assert "<pre>20</pre>" in pictures(outputs)[0]


def test_unchanged_cells_hit_the_cache_and_an_edited_helper_misses_it(cells: Kernel) -> None:
    ask = "run = flyte.run(total, 3); run.outputs()[0], len(flyte.remote.Action.listall(run.name))"
    assert cells.value(ask) == "(6, 4)"
    cells.run(DECLARED)
    assert cells.value(ask) == "(6, 1)"  # the root is answered from the cache
    cells.run("def grown(x: int) -> int:\n    return x * 3")
    assert cells.value(ask) == "(9, 4)"
    cells.run("def grown(x: int) -> int:\n    return x * 2")
    assert cells.value(ask) == "(6, 1)"


def test_an_error_names_the_cell_and_the_line_that_it_comes_from(cells: Kernel) -> None:
    cells.run("@env.task\ndef divide(by: int) -> float:\n    return 1 / by")
    outputs = cells.run("flyte.run(divide, 0).outputs()", fails=True)
    told = traceback_of(outputs)
    assert "], line 3, in divide\n    return 1 / by" in told and "Cell In[" in told
    assert "direct cause" in told and "ZeroDivisionError in task cells.divide, run " in told
    assert "ZeroDivisionError: division by zero" in pictures(outputs)[0]


def test_what_does_not_begin_leaves_no_picture_behind(cells: Kernel) -> None:
    cells.run("flyte.with_runcontext(name='taken').run(double, 1)")
    outputs = cells.run("flyte.with_runcontext(name='taken').run(double, 2)", fails=True)
    assert "RunAlreadyExistsError" in traceback_of(outputs)


def test_the_stop_button_ends_a_run_of_the_kernel_and_says_how_it_goes_on(cells: Kernel) -> None:
    code = """
    import signal

    @env.task
    async def sleeps() -> None:
        # A front end's stop button sends this; sent from here it comes when the task runs.
        os.kill(os.getpid(), signal.SIGINT)
        import asyncio
        await asyncio.sleep(600)

    flyte.with_runcontext(name="stopped").run(sleeps)
    """
    told = traceback_of(cells.run(code, fails=True))
    assert "KeyboardInterrupt: run stopped was stopped. Continue it: flyte-ray resume stopped" in told
    assert cells.value("flyte.remote.Run.get('stopped').phase.value") == "'aborted'"


def test_the_cells_of_the_page_on_notebooks_run(cells: Kernel) -> None:
    page = Path(TOP, "docs", "notebook.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    outputs = [cells.run(block) for block in blocks]
    assert [len(pictures(each)) for each in outputs] == [0, 1, 0, 1, 1]
    assert outputs[2][0]["data"]["text/plain"].startswith("2.04") and "'west'" in outputs[3][-1]["data"]["text/plain"]
