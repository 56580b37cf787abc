"""Runs that are kept folded: what is new is folded onto what was read, and the tree is told as columns."""

from __future__ import annotations

import json
import uuid
from unittest import mock

import pytest

from benchmarks.console import make_run
from flyte_ray.errors import RunNotFoundError
from flyte_ray.ledger.events import CALLED, LOGGED, STARTED, SUCCEEDED, TASK, TRACED, Event
from flyte_ray.ledger.folded import FoldedRuns
from flyte_ray.ledger.log import RunLog
from flyte_ray.ledger.paths import log_prefix, spec_key
from flyte_ray.ledger.query import load_state
from flyte_ray.ledger.tree import changed_columns, tree_columns
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from tests.unit.memory_store import MemoryStore

RUN = RunId("r")


def opened() -> tuple[MemoryStore, RunLog]:
    """A run that has begun, and its log."""
    store = MemoryStore()
    store.put(spec_key(RUN), json.dumps({"name": "r", "nonce": "n", "started_us": 0}).encode())
    log = RunLog(store, RUN, uuid.uuid4().hex)
    log.open("me", 1, lambda event: None)
    return store, log


def test_a_folded_run_says_what_a_whole_reading_says_but_for_values() -> None:
    store = MemoryStore()
    make_run(store, "r", 700, 1_000_000, fails=True)
    folded, whole = FoldedRuns(store).get("r"), load_state(store, RUN)
    assert {phase: count for phase, count in folded.state.counts.items() if count} == whole.counts
    assert folded.rows == list(whole.actions)
    for name, action in whole.actions.items():
        ours = folded.state.actions[name]
        assert (ours.phase, ours.attempts, ours.started_us) == (action.phase, action.attempts, action.started_us)
        assert not ours.inputs and (not action.has_succeeded or ours.result is None)


def test_the_tree_has_a_row_per_action_below_its_parent() -> None:
    store = MemoryStore()
    make_run(store, "r", 700, 1_000_000)
    run = FoldedRuns(store).get("r")
    tree = tree_columns(run)
    assert len(tree["id"]) == 700 and tree["id"][0] == "a0" and tree["parent"][0] == -1
    assert all(parent < row for row, parent in enumerate(tree["parent"]))
    assert {tree["phases"][number] for number in tree["phase"]} == {"succeeded"}
    assert {tree["tasks"][number] for number in tree["task"]} == {
        "shop.main",
        "shop.prepare",
        "shop.train",
        "shop.score",
    }
    assert tree["groups"][tree["group"][1]] == "part 0" and tree["group"][0] == -1
    again = [row for row, attempts in enumerate(tree["attempts"]) if attempts > 1]
    assert again and sorted(tree["earlier"]) == again
    assert {outcome for past in tree["earlier"].values() for *_, outcome in past} == {"retried", "lost"}
    assert tree["traces"] and all(each == [("shop.ask", 0.0, True)] for each in tree["traces"].values())
    ended = [tree["ended"][row] for row in tree["critical"]]
    assert tree["critical"][0] == 0 and max(ended) == ended[0]
    assert json.loads(json.dumps(tree))["position"] == run.position


def test_what_is_new_is_told_by_row() -> None:
    store, log = opened()
    log.append([Event(TASK, 1, task="e.t@1", body="[]"), Event(CALLED, 1000, "a0", task="e.t@1", body="{}")])
    runs = FoldedRuns(store)
    run = runs.get("r")
    position = run.position
    assert changed_columns(run, position) is None
    log.append([Event(STARTED, 2000, "a0", slot="s"), Event(CALLED, 3000, "x", parent="a0", task="e.u@1")])
    step = json.dumps({"started_us": 0, "ended_us": 1_500_000, "error": {}})
    log.append([Event(TRACED, 4000, "x", task="f@key", body=step)])
    run.refresh(lambda: 1e9)
    changed = changed_columns(run, position)
    assert changed is not None
    assert (changed["row"], changed["id"], changed["parent"]) == ([0, 1], ["a0", "x"], [-1, 0])
    assert (changed["queued"], changed["started"], changed["ended"]) == ([1, 3], [2, -1], [-1, -1])
    assert changed["traces"] == {1: [("f", 1.5, False)]}
    log.append([Event(SUCCEEDED, 9000, "a0", body="1")])
    run.refresh(lambda: 2e9)
    newest = changed_columns(run, changed["position"])
    assert newest is not None and (newest["row"], newest["ended"]) == ([0], [9])


def test_runs_that_were_looked_at_long_ago_are_forgotten() -> None:
    store = MemoryStore()
    for name in ("a", "b"):
        make_run(store, name, 300, 1_000_000)
    runs = FoldedRuns(store, most_actions=400)
    first = runs.get("a")
    assert runs.get("a") is first
    runs.get("b")
    assert runs.get("a") is not first


def test_an_action_is_read_alike_when_its_log_was_packed_meanwhile() -> None:
    store, log = opened()
    log.append([Event(TASK, 1, task="e.t@1", body="[]"), Event(CALLED, 1, "a0", task="e.t@1", body='{"x": 1}')])
    log.append([Event(STARTED, 2, "a0", slot="s")])
    for number in range(130):
        log.append([Event(LOGGED, 3 + number, "a0", body=f"{number}\n")])
        log.append([Event(CALLED, 3 + number, f"x{number}", parent="a0", task="e.t@1", body="{}")])
    run = FoldedRuns(store).get("r")
    before, printed = run.read_events("a0"), run.read_printed("a0")
    assert [event.body for event in before] == ['{"x": 1}', None]
    assert [event.body for event in printed] == [f"{number}\n" for number in range(130)]
    while log.pack():
        pass
    assert any("-" in key.rpartition("/")[2] for key in store.keys(log_prefix(RUN)))
    assert run.read_events("x7")[0].at == 10
    assert run.read_events("a0") == before and run.read_printed("a0") == printed
    assert run.read_printed("a0", 2) == printed[2:]


def test_who_looks_at_an_action_again_and_again_reads_what_is_new() -> None:
    store, log = opened()
    log.append([Event(TASK, 1, task="e.t@1", body="[]"), Event(CALLED, 1, "a0", task="e.t@1", body="{}")])
    log.append([Event(STARTED, 2, "a0", slot="s")])
    for number in range(20):
        log.append([Event(LOGGED, 3 + number, "a0", body=f"{number}\n")])
    run = FoldedRuns(store).get("r")
    assert [event.kind for event in run.read_events("a0")] == [CALLED, STARTED]
    log.append([Event(LOGGED, 50, "a0", body="end\n"), Event(SUCCEEDED, 51, "a0", body="1")])
    run.refresh(lambda: 1e9)
    with mock.patch.object(store, "get", wraps=store.get) as got:
        assert [event.kind for event in run.read_events("a0")] == [CALLED, STARTED, SUCCEEDED]
        assert got.call_count == 1
        assert run.read_printed("a0", 20)[0].body == "end\n" and got.call_count == 2


def test_a_run_that_was_deleted_and_made_anew_is_read_anew() -> None:
    store = MemoryStore()
    make_run(store, "r", 3, 1_000_000, fails=True)
    runs = FoldedRuns(store)
    assert runs.get("r").state.phase is ActionPhase.FAILED
    store.objects.clear()
    make_run(store, "r", 3, 2_000_000)
    with mock.patch("flyte_ray.ledger.folded.SAME_S", 0.0):
        assert runs.get("r").state.phase is ActionPhase.SUCCEEDED
    assert runs.get("r").state.phase is ActionPhase.SUCCEEDED


def test_a_run_that_was_deleted_is_missing_at_every_look() -> None:
    store = MemoryStore()
    make_run(store, "r", 3, 1_000_000)
    runs = FoldedRuns(store)
    runs.get("r")
    store.objects.clear()
    with mock.patch("flyte_ray.ledger.folded.SAME_S", 0.0), pytest.raises(RunNotFoundError):
        runs.get("r")
    with pytest.raises(RunNotFoundError):
        runs.get("r")
