"""Who holds a run: politely by its claim, and for certain by its log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flyte_ray.errors import RunFencedError
from flyte_ray.ledger.lease import RENEW_S, STILL_S, Lease, read_claim, refuse_living
from flyte_ray.ledger.origin import has_ended, own_process
from flyte_ray.ledger.paths import lease_key
from flyte_ray.ledger.stillness import GAP_S, Stillness
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store

RUN = RunId("r")


class Time:
    """A clock of the test's own; `others` act while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.others: Callable[[], object] = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.others()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def time() -> Time:
    return Time()


def take(store: Store, holder: str, time: Time) -> Lease:
    lease = Lease(store, RUN, holder)
    lease.take(clock=time.clock, sleep=time.sleep)
    return lease


def holder(store: Store) -> str | None:
    claim = read_claim(store, RUN)
    return claim.holder if claim else None


def on_another_machine(store: Store, **changes: object) -> None:
    """Have the claim come from a machine of which nothing is known here."""
    claim = read_claim(store, RUN)
    assert claim
    store.put(lease_key(RUN), json.dumps({**claim._asdict(), "process": "elsewhere|7", **changes}).encode())


def test_a_silent_holder_is_replaced_when_its_counter_was_seen_to_stand_still(store: Store, time: Time) -> None:
    take(store, "first", time)
    on_another_machine(store, at=1e12)  # its clock does not matter
    take(store, "second", time)
    assert (holder(store), time.now) == ("second", STILL_S)


def test_a_holder_whose_counter_steps_keeps_its_run_and_is_named(store: Store, time: Time) -> None:
    take(store, "first", time)
    on_another_machine(store)
    time.others = lambda: on_another_machine(store, counter=1 + int(time.now // RENEW_S))
    with pytest.raises(RunFencedError, match=r"held by first .* which is alive.*--take-over r"):
        take(store, "second", time)
    assert (holder(store), time.now) == ("first", RENEW_S)


def test_a_living_holder_is_seen_before_anything_is_started(store: Store, time: Time) -> None:
    refuse_living(store, RUN, clock=time.clock, sleep=time.sleep)
    assert time.now == 0.0, "nobody holds it"
    take(store, "first", time)
    on_another_machine(store)
    refuse_living(store, RUN, clock=time.clock, sleep=time.sleep)
    assert RENEW_S < time.now < STILL_S, "whether it is dead is not decided here"
    begun = time.now
    time.others = lambda: on_another_machine(store, counter=1 + int((time.now - begun) // RENEW_S))
    with pytest.raises(RunFencedError, match=r"held by first .* which is alive.*--take-over r"):
        refuse_living(store, RUN, clock=time.clock, sleep=time.sleep)


def test_a_time_in_which_nobody_looked_does_not_count_as_standing_still(time: Time) -> None:
    watch = Stillness(time.clock)
    watch.look("r", 1)
    time.now += 3600.0
    assert watch.look("r", 1) == GAP_S < STILL_S


def test_who_has_ended_on_this_machine_is_replaced_at_once(store: Store, time: Time) -> None:
    script = "import sys; from tests.unit.test_lease import *; take(open_store(sys.argv[1]), 'first', Time())"
    subprocess.run([sys.executable, "-c", script, store.uri], check=True)
    assert holder(store) == "first"
    take(store, "second", time)
    assert (holder(store), time.now) == ("second", 0.0)


def test_a_process_that_was_killed_and_not_yet_waited_for_has_ended() -> None:
    script = "from flyte_ray.ledger.origin import own_process; print(own_process(), flush=True); input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        mark = process.stdout.readline().strip()
        assert not has_ended(mark, process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(mark, process.pid)
    machine = own_process().rpartition("|")[0]
    assert has_ended(f"{machine}|1", os.getpid()), "another process had this id before"
    assert not has_ended(own_process(), os.getpid())
    assert not has_ended("elsewhere|1", process.pid), "of another machine nothing is known"


def test_the_ledger_that_is_started_again_takes_its_own_runs_at_once(store: Store, time: Time) -> None:
    take(store, "first", time)
    take(store, "first", time)
    assert time.now == 0.0


def test_whose_run_was_taken_neither_renews_nor_removes_the_others_claim(
    store: Store, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", -1.0)  # at each call
    first, second = take(store, "first", time), Lease(store, RUN, "second")
    second.take(force=True)
    asked: list[str] = []
    first.renew(lambda: bool(asked.append("whether the log is its own")))
    assert (holder(store), len(asked)) == ("second", 1)
    first.release()
    assert holder(store) == "second"
    second.release()
    assert holder(store) is None
    second.renew(lambda: True)
    assert holder(store) is None, "what was given up is not renewed"


def test_whose_log_it_is_has_the_claim_in_the_end(store: Store, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyte_ray.ledger.lease.RENEW_S", -1.0)
    first, second = take(store, "first", time), Lease(store, RUN, "second")
    second.take(force=True)
    first.renew(lambda: True)
    second.renew(lambda: False)
    assert holder(store) == "first"


def test_of_two_that_take_a_run_at_the_same_time_the_one_whose_claim_was_replaced_gives_way(
    store: Store, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = type(store).put

    def put_and_be_replaced(self: Store, key: str, data: bytes) -> None:
        monkeypatch.setattr(type(store), "put", put)
        put(self, key, data)
        Lease(store, RUN, "second").take(force=True)

    monkeypatch.setattr(type(store), "put", put_and_be_replaced)
    first = Lease(store, RUN, "first")
    with pytest.raises(RunFencedError, match="held by second"):
        first.take(clock=time.clock, sleep=time.sleep)
    assert holder(store) == "second"
