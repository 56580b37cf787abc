"""`actions.arrow` of runs with more actions than are written at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.snapshot import ROWS, read_snapshot, write_snapshot
from flyte_ray.ledger.state import RunState, fold
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import open_store

RUN = RunId("r")


def run_of(count: int) -> RunState:
    state = RunState(RUN)
    for number in range(count):
        parent = "a0" if number else None
        fold(state, Event(kinds.CALLED, number, f"a{number}", parent=parent, task="e.f", body='{"text":"\u00e9"}'))
    return state


@pytest.mark.parametrize("count", [0, 1, ROWS, 2 * ROWS + 1])
def test_a_snapshot_gives_back_each_action_in_its_order(count: int, tmp_path: Path) -> None:
    store, state = open_store(tmp_path), run_of(count)
    write_snapshot(store, state, 7)
    found, position = read_snapshot(store, RUN)
    assert position == 7
    assert list(found.actions.values()) == list(state.actions.values())
