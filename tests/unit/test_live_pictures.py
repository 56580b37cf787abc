"""A run's picture in a notebook is kept up to date while the run goes on; front end and run are fakes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flyte_ray.api import notebook
from flyte_ray.api.run import Run
from flyte_ray.api.widget import View
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import open_store
from tests.waiting import within


@pytest.fixture
def phase(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """How the run stands, to be changed; it has ended when the test ends."""
    stands = SimpleNamespace(now=ActionPhase.FAILED)
    looker = SimpleNamespace(look=lambda: View("mine", "w.main", stands.now))
    monkeypatch.setattr(notebook, "Looker", lambda *_: looker)
    monkeypatch.setattr(notebook, "SOONEST_S", 0.01)
    yield stands
    stands.now = ActionPhase.SUCCEEDED


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A kernel's shell, and `seen`: what its front end shows."""
    shell = SimpleNamespace(execution_count=1, seen="")

    def display(bundle: dict[str, str], **_: Any) -> None:
        shell.seen = bundle["text/plain"]

    monkeypatch.setattr(notebook, "kernel_shell", lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=SimpleNamespace(display=display)))
    return shell


@pytest.mark.parametrize("cell", [1, 2])
def test_a_run_that_is_resumed_is_live_again(
    phase: SimpleNamespace, shell: SimpleNamespace, tmp_path: Path, cell: int
) -> None:
    run = Run(open_store(str(tmp_path)), "mine")
    notebook.show(run)
    assert "failed" in shell.seen
    shell.execution_count = cell
    with notebook.shown(run):
        phase.now = ActionPhase.RUNNING
    assert "running" in shell.seen
    phase.now = ActionPhase.SUCCEEDED
    within(30)(lambda: "succeeded" in shell.seen)
