"""A live view says in words what a ledger answers."""

from __future__ import annotations

from typing import Any

from flyte_ray.api.sight import Watcher


class Clock:
    """Time that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(**changes: Any) -> dict[str, Any]:
    counts = {"succeeded": 10, "running": 2, "queued": 1500}
    return {"phase": "running", "counts": counts, "running": ["w.a", "w.b", "w.a"], "waits": [], **changes}


def test_it_says_counts_by_phase_what_runs_and_the_time() -> None:
    clock = Clock()
    watcher = Watcher(clock)
    clock.now += 1.5
    line = watcher.describe(answer()).line()
    assert line == "1,500 queued, 2 running, 10 succeeded  |  w.a x2, w.b x1  |  1.5 s"


def test_the_rate_counts_from_the_first_look_on() -> None:
    clock = Clock()
    watcher = Watcher(clock)
    clock.now += 20
    watcher.describe(answer())
    clock.now += 2
    assert watcher.describe(answer(counts={"succeeded": 13, "failed": 2})).pace == "22.0 s, 2.5 actions/s"
    assert watcher.describe(answer(counts={"succeeded": 4010})).pace == "22.0 s, 2,000 actions/s"


def test_an_action_that_waits_says_for_what() -> None:
    sight = Watcher(Clock()).describe(answer(waits=["needs 1 GPU, 0 of 2 free"], waits_for_store="no route"))
    assert sight.lines()[2:] == ["waits: needs 1 GPU, 0 of 2 free", "waits: the store: no route"]


def test_who_waits_for_a_person_says_what_is_asked() -> None:
    asks = [("approval", "Write to production?\n\nIt costs 5 euro."), *(("x", "?") for _ in range(4))]
    sight = Watcher(Clock()).describe(answer(asks=asks))
    waits = [line for line in sight.lines() if line.startswith("waits: ")]
    assert waits[0] == "waits: condition approval: Write to production?"
    assert waits[-1] == "waits: 2 other conditions" and len(waits) == 4


def test_many_tasks_are_cut_short() -> None:
    sight = Watcher(Clock()).describe(answer(running=["w.a", "w.a", "w.b", "w.b", "w.c", "w.c", "w.d", "w.e"]))
    assert sight.running == "w.a x2, w.b x2, w.c x2, 2 other tasks"


def test_before_a_run_begins_there_is_only_the_time() -> None:
    sight = Watcher(Clock()).describe(None)
    assert (sight.has_begun, sight.counts, sight.lines(), sight.line()) == (False, "", [], "0.0 s")
