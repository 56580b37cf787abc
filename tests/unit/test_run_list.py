"""The list of a root's runs: starts, ends, packs of both, and what is made anew where they are missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks.console import make_run
from flyte_ray.ledger.listing import PACK, list_end, list_run, pack_list, unlist
from flyte_ray.ledger.overview import Wanted, describe_runs, select_runs
from flyte_ray.ledger.paths import ENDED, INDEX, LISTED, ended_key, lease_key
from flyte_ray.ledger.query import load_spec, load_state
from flyte_ray.ledger.run_list import RunList
from flyte_ray.ledger.state import ActionState, RunState
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from tests.unit.memory_store import MemoryStore


class Crash(BaseException):
    pass


class CrashingStore(MemoryStore):
    """Stops before a number of deletions."""

    left = 10**9

    def delete(self, keys: Sequence[str]) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1
        super().delete(keys)


def spec_of(name: str, started_us: int) -> dict[str, Any]:
    return {"name": name, "task": "e.t", "started_us": started_us, "labels": {"n": name}, "inputs": "{}", "nonce": "x"}


def state_of(name: str, phase: ActionPhase, ended_us: int = 9, resumes: int = 0) -> RunState:
    root = ActionState("a0", None, "e.t@1", None, "{}", 1, phase=phase, ended_us=ended_us)
    return RunState(RunId(name), {"a0": root}, counts={phase: 1}, resumes=resumes)


def enter(store: MemoryStore, name: str, at: int, phase: ActionPhase | None = ActionPhase.SUCCEEDED) -> None:
    list_run(store, RunId(name), spec_of(name, at))
    if phase is not None:
        list_end(store, spec_of(name, at), state_of(name, phase))


def names(store: MemoryStore) -> list[str]:
    return [each.about["name"] for each in RunList(store).runs()]


def test_a_run_is_listed_with_its_end_and_without_its_inputs() -> None:
    store = MemoryStore()
    enter(store, "old", 1, ActionPhase.FAILED)
    enter(store, "new", 2, None)
    new, old = RunList(store).runs()
    assert (new.about["name"], new.end) == ("new", None)
    assert old.end == {"phase": "failed", "ended_us": 9, "actions": {"failed": 1}, "number": 0}
    assert "inputs" not in old.about and old.about["labels"] == {"n": "old"}


def test_many_ended_runs_lie_in_few_objects() -> None:
    store = MemoryStore()
    for number in range(3 * PACK):
        enter(store, f"run-{number}", number + 1)
    while pack_list(store):
        pass
    assert len(store.keys(ENDED)) < PACK and len(store.keys(LISTED)) >= 2
    assert len(store.keys(INDEX)) == len(store.keys(ENDED))
    assert names(store) == [f"run-{number}" for number in reversed(range(3 * PACK))]


@pytest.mark.parametrize("steps", [0, 1])
def test_a_ledger_that_is_cut_off_while_it_packs_leaves_the_same_list(steps: int) -> None:
    store = CrashingStore()
    for number in range(PACK):
        list_run(store, RunId(f"run-{number}"), spec_of(f"run-{number}", number + 1))
        list_end_without_packing(store, f"run-{number}", number + 1)
    before = names(store)
    store.left = steps
    with pytest.raises(Crash):
        pack_list(store)
    assert names(store) == before
    store.left = 10**9
    if store.keys(ENDED):
        assert pack_list(store)
    assert names(store) == before


def list_end_without_packing(store: MemoryStore, name: str, at: int) -> None:
    enters = MemoryStore()
    list_end(enters, spec_of(name, at), state_of(name, ActionPhase.SUCCEEDED))
    store.objects.update(enters.objects)


def test_a_packed_run_that_is_continued_has_no_end_and_then_a_later_one() -> None:
    store = MemoryStore()
    for number in range(PACK):
        enter(store, f"run-{number}", number + 1, ActionPhase.FAILED)
    pack_list(store)
    store.put(lease_key(RunId("run-0")), b"{}")
    assert RunList(store).runs()[-1].end is None
    list_end(store, spec_of("run-0", 1), state_of("run-0", ActionPhase.SUCCEEDED, 20, resumes=1))
    store.delete([lease_key(RunId("run-0"))])
    end = RunList(store).runs()[-1].end
    assert end is not None and (end["phase"], end["number"]) == ("succeeded", 1)


class MeddledStore(MemoryStore):
    """Somebody else does something after the first reading of an object, or listing, of a kind."""

    def __init__(self) -> None:
        super().__init__()
        self.meddle: dict[str, Callable[[], object]] = {}

    def get(self, key: str) -> bytes:
        found = super().get(key)
        for told in (key, key.partition("/")[0]):
            self.meddle.pop(f"got {told}", int)()
        return found

    def keys(self, prefix: str) -> list[str]:
        found = super().keys(prefix)
        self.meddle.pop(f"listed {prefix}", int)()
        return found


def packed(store: MemoryStore, count: int = PACK) -> None:
    for number in range(count):
        list_run(store, RunId(f"run-{number}"), spec_of(f"run-{number}", number + 1))
        list_end_without_packing(store, f"run-{number}", number + 1)


def test_runs_that_are_packed_while_a_list_is_read_are_in_it() -> None:
    store = MeddledStore()
    packed(store)
    whole = names(store)
    store.meddle[f"listed {ENDED}"] = lambda: pack_list(store)
    assert names(store) == whole
    assert not store.keys(ENDED)


def test_a_run_that_is_deleted_while_it_is_packed_does_not_come_back() -> None:
    store = MeddledStore()
    packed(store)
    store.meddle[f"got {ended_key(RunId('run-7'), 8, 0)}"] = lambda: unlist(store, RunId("run-7"), 8)
    assert pack_list(store)
    assert sorted(names(store)) == sorted(f"run-{number}" for number in range(PACK) if number != 7)


@pytest.mark.parametrize("second", ["run-7", "run-8"])
def test_two_runs_that_are_deleted_from_a_pack_at_a_time_are_both_gone(second: str) -> None:
    store = MeddledStore()
    packed(store)
    pack_list(store)
    store.meddle["got listed"] = lambda: unlist(store, RunId(second), int(second[4:]) + 1)
    unlist(store, RunId("run-7"), 8)
    left = {f"run-{number}" for number in range(PACK)} - {"run-7", second}
    assert sorted(names(store)) == sorted(left)


def test_a_list_that_is_missing_is_made_of_the_runs() -> None:
    store = MemoryStore()
    for number in range(3):
        make_run(store, f"run-{number}", 3, 1_000_000 * (number + 1), fails=number == 1)
    whole = describe_runs(store, 10)
    for prefix in (INDEX, ENDED, LISTED):
        store.delete(store.keys(prefix))
    assert describe_runs(store, 10) == whole
    assert len(store.keys(LISTED)) == 1


def test_runs_of_earlier_versions_are_read_from_their_records_and_entered() -> None:
    store = MemoryStore()
    for number in range(20):
        make_run(store, f"run-{number}", 3, 1_000_000 * (number + 1))
    whole = describe_runs(store, 100)
    store.delete(store.keys(ENDED))
    assert describe_runs(store, 100) == whole
    RunList(store).complete()
    assert all(each.end for each in RunList(store).runs())
    assert describe_runs(store, 100) == whole


def test_what_is_listed_is_what_the_record_says() -> None:
    store = MemoryStore()
    make_run(store, "r", 250, 1_000_000, fails=True)
    (listed,) = describe_runs(store, 1)
    spec, state = load_spec(store, RunId("r")), load_state(store, RunId("r"))
    assert (listed["phase"], listed["ended_us"]) == (state.phase.value, state.root.ended_us)
    assert listed["actions"] == {phase.value: count for phase, count in state.counts.items()}
    assert (listed["task"], listed["started_us"]) == (spec["task"], spec["started_us"])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), ["c", "b", "a"]),
        (Wanted(phases=["failed"]), ["b"]),
        (Wanted(text="N=A"), ["a"]),
        (Wanted(labels={"n": "c"}), ["c"]),
        (Wanted(since_us=2), ["c", "b"]),
        (Wanted(task="e.other"), []),
    ],
)
def test_runs_are_found_by_what_is_said_of_them(wanted: Wanted, found: list[str]) -> None:
    store = MemoryStore()
    for at, name in enumerate("abc", 1):
        enter(store, name, at, ActionPhase.FAILED if name == "b" else ActionPhase.SUCCEEDED)
    listed = RunList(store).runs()
    assert [run["name"] for _, run in select_runs(store, listed, wanted)] == found


def test_a_page_begins_behind_the_last_one() -> None:
    store = MemoryStore()
    for at, name in enumerate("abc", 1):
        enter(store, name, at)
    listed = RunList(store).runs()
    (place, first), *_ = select_runs(store, listed, Wanted())
    assert first["name"] == "c"
    assert [run["name"] for _, run in select_runs(store, listed, Wanted(before=place))] == ["b", "a"]


def test_what_was_read_is_not_read_again() -> None:
    store = CountingStore()
    for number in range(5):
        enter(store, f"run-{number}", number + 1)
    runs = RunList(store)
    runs.runs(lambda: 1.0)
    read = store.reads
    enter(store, "new", 9)
    assert len(runs.runs(lambda: 2.0)) == 6
    assert store.reads == read + 1


class CountingStore(MemoryStore):
    reads = 0

    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)


def test_an_entry_is_json_that_anybody_can_read() -> None:
    store = MemoryStore()
    enter(store, "r", 1)
    (key,) = store.keys(ENDED)
    assert json.loads(store.get(key))["end"]["phase"] == "succeeded"
