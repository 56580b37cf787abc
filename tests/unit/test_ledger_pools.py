"""What the ledger asks for where slots belong to a pool."""

from __future__ import annotations

from typing import Any

from flyte_ray.ledger.messages import Pool
from flyte_ray.ledger.standstill import BEGIN_S, OVERFLOW, OVERFLOW_S
from tests.unit.test_ledger_limits import PlayedSlot, call, clock, play, task

__all__ = ["clock", "play"]
POOL = Pool("e", 1, 1, 1, 30.0, 30.0, of_run=False)
POOLED = task(name="e.pooled", shape="pool", pool=POOL)


def begin(play: Any, *names: str) -> Any:
    """Have a root call tasks of a pool, and wait for them."""
    cluster, root = play(task())
    cluster.others.append(POOLED)
    root.say()
    root.say(*(call(name, POOLED) for name in names), want=0, waiting=frozenset({"a0"}))
    cluster.after(0.1)
    return cluster


def beyond(cluster: Any) -> int:
    return sum(name.startswith(OVERFLOW) for name in cluster.launched)


def test_a_process_that_is_slow_to_begin_is_waited_for(play: Any) -> None:
    cluster = begin(play, "x")
    cluster.after(BEGIN_S - 1)
    assert (len(cluster.launched), beyond(cluster)) == (2, 0)
    cluster.after(2)
    assert beyond(cluster) == 1


def test_who_waits_for_processes_that_wait_themselves_gets_one_of_its_own(play: Any) -> None:
    cluster = begin(play, "x", "z")
    only = PlayedSlot(cluster, cluster.launched[-1])
    only.shape = "pool"
    only.say()
    only.say(want=1, waiting=frozenset({"x"}), buried=True)
    cluster.after(0.1)
    assert beyond(cluster) == 0
    cluster.after(OVERFLOW_S + 0.1)
    assert beyond(cluster) == 1
