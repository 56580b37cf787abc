"""Fixtures for pytest; have them by `pytest_plugins = ["flyte_ray.testing.plugin"]` in your `conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flyte_ray.testing.clocks import FakeClock
from flyte_ray.testing.running import temporary_root


@pytest.fixture
def root_of_test(tmp_path: Path) -> Iterator[Path]:
    """A root for this test alone, which `flyte.run` and `run_local` use; its folder."""
    with temporary_root(tmp_path / "root") as folder:
        yield folder


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """The clock of `flyte.durable` for this test."""
    with FakeClock() as clock:
        yield clock
