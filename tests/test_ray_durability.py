"""What survives the death of a slot on a real Ray cluster, as a user sees it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.errors import NondeterminismError
from flyte_ray.ledger.query import load_state
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store
from tests import durable_tasks

SAID = (
    "durable.changes_its_mind (a0) was run again and called work.square(x=4) in group 'square_map'"
    " where work.square(x=3) in group 'square_map' is on record"
)


def test_a_replayed_parent_that_calls_something_else_is_warned_of(
    connected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = flyte.run(durable_tasks.changes_its_mind, marker=str(tmp_path / "marker"))
    with caplog.at_level(logging.WARNING, "flyte_ray"):
        assert run.outputs() == (32,)
    assert SAID in caplog.text
    assert run.state().root.attempts == 2


def test_with_strict_replay_a_parent_that_calls_something_else_fails(connected: Path, tmp_path: Path) -> None:
    runner = flyte.with_runcontext(strict_replay=True)
    run = runner.run(durable_tasks.changes_its_mind, marker=str(tmp_path / "marker"))
    with pytest.raises(NondeterminismError, match=re.escape(SAID)):
        run.outputs()
    assert len(load_state(open_store(connected), RunId(run.name)).actions) == 3
