"""What one look at a claim tells people of a run."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.api import cutoff
from flyte_ray.api.settings import init
from flyte_ray.errors import StoreError
from flyte_ray.ledger.cutoff import ago, hold_of, judge, list_cut_off
from flyte_ray.ledger.lease import Claim
from flyte_ray.ledger.origin import own_process
from flyte_ray.ledger.paths import lease_key
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import Store, open_store
from tests.unit.memory_store import MemoryStore

env = flyte.TaskEnvironment("cutoff")
HERE = own_process().rpartition("|")[0]
LIVES = Claim("ray:a", "host", os.getpid(), 1, 1_000.0, own_process())
ENDED = LIVES._replace(process=f"{HERE}|1")
FAR = LIVES._replace(process="elsewhere|1")


@env.task
def nothing() -> None: ...


@pytest.mark.parametrize(
    ("claim", "seen_s", "said"),
    [
        (LIVES, 4.4, "running (held by ray:a, seen 4 s ago)"),
        (LIVES, 300.0, "running (held by ray:a, seen 5 min ago)"),
        (ENDED, 4.0, "cut off 4 s ago"),
        (FAR, 4.0, "running (held by ray:a, seen 4 s ago)"),
        (FAR, -70.0, "running (held by ray:a, seen 0 s ago)"),
        (FAR, 7_300.0, "cut off 2 h ago"),
        (None, 0.0, "cut off"),
    ],
)
def test_a_phase_is_shown_with_who_holds_the_run(claim: Claim | None, seen_s: float, said: str) -> None:
    assert judge(claim, 1_000.0 + seen_s).describe(ActionPhase.RUNNING) == said


def test_ages_are_written_in_their_largest_unit() -> None:
    assert [ago(seconds) for seconds in (0.2, 59, 61, 3_700, 200_000, None)] == [
        *("0 s ago", "59 s ago", "1 min ago", "1 h ago", "2 d ago", "")
    ]


def claimed(claims: dict[str, Claim]) -> Store:
    store = MemoryStore()
    for name, claim in claims.items():
        store.put(lease_key(RunId(name)), json.dumps(claim._asdict()).encode())
    return store


def test_runs_that_were_cut_off_are_listed_newest_first() -> None:
    store = claimed({"lives": LIVES, "old": ENDED, "new": ENDED._replace(at=2_000.0)})
    assert list(list_cut_off(store)) == ["new", "old"]
    assert hold_of(store, RunId("unknown")).is_cut_off


def test_a_process_names_each_of_them_once_and_few_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    init(root="/data/my runs")
    store = claimed({f"r{number}": ENDED._replace(at=float(number)) for number in range(6)})
    with caplog.at_level(logging.WARNING):
        cutoff.name_cut_off(store, RunId("r5"))
        cutoff.name_cut_off(store, RunId("r5"))
    told = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in told[:3]] == ["r4", "r3", "r2"]
    assert told[0].endswith("ago. Continue it: flyte-ray resume r4 --root '/data/my runs'")
    assert told[3:] == ["2 more runs were cut off: flyte-ray get run --root '/data/my runs'"]
    init()


def test_a_store_that_does_not_answer_keeps_no_run_from_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()

    def away(prefix: str) -> list[str]:
        raise StoreError("away")

    monkeypatch.setattr(store, "keys", away)
    cutoff.name_cut_off(store, RunId("r"))


def test_who_waits_for_a_run_is_told_once_that_nobody_holds_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutoff, "LOOK_S", 0.0)
    for claim, said in ((LIVES, 0), (ENDED, 1)):
        lookout = cutoff.Lookout(claimed({"r": claim}), RunId("r"))
        with caplog.at_level(logging.WARNING):
            lookout.look()
            lookout.look()
        assert len(caplog.records) == said
    assert "flyte-ray resume r" in caplog.text


def test_a_run_that_has_succeeded_is_not_named_again_once_somebody_has_tried_to_resume_it(tmp_path: Path) -> None:
    init(root=tmp_path)
    run = flyte.with_runcontext(name="over").run(nothing)
    store = open_store(tmp_path)
    store.put(lease_key(RunId("over")), json.dumps(ENDED._asdict()).encode())
    assert list(list_cut_off(store)) == ["over"]
    run.resume()
    assert list(list_cut_off(store)) == []
    init()


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (None, "was cut off, and nothing of it runs. 'flyte-ray resume"),
        (ENDED, "was cut off, and nothing of it runs. 'flyte-ray resume"),
        (LIVES, "is held by ray:a on host, a ledger that this process is not connected to. Connect to its cluster"),
        (LIVES._replace(holder="local:host:1:ab"), f"in local mode, which .* kill -INT {os.getpid()}"),
    ],
    ids=["no claim", "ended", "another ledger", "local"],
)
def test_who_cannot_reach_a_run_is_told_where_it_is(claim: Claim | None, said: str) -> None:
    assert re.search(said, cutoff.out_of_reach(claimed({"r": claim} if claim else {}), RunId("r")))
