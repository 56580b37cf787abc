"""Helpers for tests of one's own tasks: what docs/testing.md shows runs, and what else they promise holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray import testing
from flyte_ray.api.settings import settings

TOP = Path(__file__).parent.parent
env = flyte.TaskEnvironment("testing")


@env.task
def double(x: int) -> int:
    return 2 * x


@env.task
async def later(x: int) -> int:
    return await double.aio(x)


@env.task
def twice(x: int) -> int:
    return double(x) + double(x + 1)


@env.task
async def naps() -> float:
    await flyte.durable.sleep.aio(60)
    return flyte.durable.time()


def test_the_tests_of_the_page_run_as_they_stand_there(tmp_path: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", (TOP / "docs" / "testing.md").read_text(), re.M | re.S):
        name, _, text = block.partition("\n")
        (tmp_path / name.removeprefix("# ")).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert "5 passed" in done.stdout, done.stdout


def test_a_root_of_a_test_leaves_the_settings_as_they_were(tmp_path: Path) -> None:
    flyte.init(root=tmp_path / "mine", root_dir=tmp_path)
    try:
        with testing.temporary_root() as folder:
            assert testing.run_local(double, 4).outputs() == (8,)
            assert list((folder / "runs").iterdir())
        assert not folder.exists()
        assert (settings.root, settings.root_dir) == (tmp_path / "mine", str(tmp_path))
    finally:
        flyte.init()


def test_a_stub_ends_with_its_block_and_may_raise(tmp_path: Path) -> None:
    with testing.temporary_root(tmp_path):
        with testing.stub(double, raises=KeyError("gone")), pytest.raises(flyte.errors.RuntimeUserError, match="gone"):
            testing.run_local(twice, 1).outputs()
        assert testing.run_local(twice, 1).outputs() == (6,)
        with testing.stub(later, returns=7) as calls:
            assert testing.run_local(later, 1).outputs() == (7,)
        assert calls == [{"x": 1}]
        with testing.stub(double, returns="no number"), pytest.raises(flyte.errors.RuntimeUserError):
            testing.run_local(twice, 1).outputs()
    with pytest.raises(TypeError, match="needs one of returns="), testing.stub(double):
        pass


def test_what_was_executed_again_is_named(tmp_path: Path) -> None:
    with testing.temporary_root(tmp_path):
        run = testing.run_local(twice, 1)
        testing.assert_not_executed_again(run)
        with pytest.raises(AssertionError, match="should be executed at most 0 times .* 1 times"):
            testing.assert_not_executed_again(run, double, times=0)
        with pytest.raises(AssertionError, match="should have an action of task 'testing.later', but has none"):
            testing.assert_not_executed_again(run, later)


def test_a_clock_that_a_test_sets_passes_by_sleep_alone(tmp_path: Path) -> None:
    with testing.temporary_root(tmp_path), testing.FakeClock(start=1000.0) as clock:
        assert testing.run_local(naps).outputs() == (1060.0,)
        clock.advance(5)
        assert flyte.durable.time() == 1065.0
    assert flyte.durable.time() > 1e9
