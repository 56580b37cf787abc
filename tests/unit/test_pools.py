"""Which process of a pool serves which slot, how many there are and when they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

import flyte_ray as flyte
from flyte_ray.cluster.orders import SlotOrder
from flyte_ray.cluster.pools import Answer, Pools
from flyte_ray.cluster.shaping import shaping_of
from flyte_ray.ledger.messages import Pool
from flyte_ray.runtime.catalog import Catalog, load_task
from flyte_ray.types.signing import Key, Pickling

POLICY = Pool("e", 1, 2, 1, idle_s=60.0, scaledown_s=30.0, of_run=False)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        names = count(1)
        self.pools = Pools(lambda: self.now, lambda: str(next(names)))

    def want(self, slot: str, run: str = "r", policy: Pool = POLICY, options: str = "{}") -> list[str]:
        return [each.slot for each in self.pools.want(SlotOrder(slot, run, "s", options, policy))]

    def ask(self, process: str) -> list[tuple[str, str | None]]:
        self.pools.ask(process)
        return told(self.pools.answers())


def told(answers: list[Answer]) -> list[tuple[str, str | None]]:
    return [(process, order.slot if order else None) for process, order in answers]


def test_there_are_as_many_processes_as_slots_from_the_least_to_the_most() -> None:
    clock = Clock()
    policy = POLICY._replace(least=2, most=3)
    assert [clock.want(str(number), policy=policy) for number in range(5)] == [
        ["pool-1", "pool-2"],
        [],
        ["pool-3"],
        [],
        [],
    ]


def test_a_process_serves_one_slot_after_another() -> None:
    clock = Clock()
    policy = POLICY._replace(most=1)
    clock.want("a", policy=policy), clock.want("b", run="q", policy=policy)
    assert clock.ask("pool-1") == [("pool-1", "a")]
    assert clock.pools.home("a") == "pool-1"
    order = clock.pools.over("pool-1", "a")
    assert order is not None and order.run == "r"
    assert clock.ask("pool-1") == [("pool-1", "b")]


def test_actions_that_share_a_process_are_of_one_slot_per_run() -> None:
    clock = Clock()
    policy = POLICY._replace(concurrency=10)
    assert clock.want("a", policy=policy) == ["pool-1"]
    assert clock.want("b", run="q", policy=policy) == []  # there is room beside the first
    assert clock.want("c", policy=policy) == ["pool-2"]  # that run has a slot there
    served = clock.ask("pool-1") + clock.ask("pool-1")
    assert served == [("pool-1", "a"), ("pool-1", "b")]
    assert clock.ask("pool-1") == []
    assert clock.ask("pool-2") == [("pool-2", "c")]


def test_what_is_idle_ends_down_to_the_least_and_all_of_it_when_nothing_happens_any_more() -> None:
    clock = Clock()
    for slot, process in (("a", "pool-1"), ("b", "pool-2")):
        clock.want(slot)
        clock.ask(process)
    clock.pools.over("pool-1", "a")
    clock.ask("pool-1")
    clock.now += 29
    assert (clock.pools.tick(), clock.pools.answers()) == ([], [])
    clock.now += 2
    clock.pools.tick()
    assert told(clock.pools.answers()) == [("pool-1", None)]
    assert clock.pools.died("pool-1") == ([], [])
    clock.pools.over("pool-2", "b")
    clock.ask("pool-2")
    clock.now += 59
    assert (clock.pools.tick(), clock.pools.answers()) == ([], [])
    clock.now += 2
    clock.pools.tick()
    assert told(clock.pools.answers()) == [("pool-2", None)]
    clock.pools.died("pool-2")
    clock.pools.tick()
    assert len(clock.pools) == 0
    assert clock.want("c") == ["pool-3"]


def test_a_process_that_never_began_is_ended_from_outside() -> None:
    clock = Clock()
    clock.want("a")
    assert clock.pools.revoke("a") and not clock.pools.revoke("a")
    clock.now += 61
    assert clock.pools.tick() == ["pool-1"]


def test_a_pool_of_one_run_ends_with_it() -> None:
    clock = Clock()
    policy = POLICY._replace(of_run=True)
    clock.want("a", policy=policy), clock.want("b", run="q", policy=policy)
    clock.ask("pool-1"), clock.ask("pool-2")
    clock.pools.over("pool-1", "a")
    clock.ask("pool-1")
    assert clock.pools.retire("r") == []
    assert told(clock.pools.answers()) == [("pool-1", None)]


def test_what_idles_and_holds_what_others_lack_ends_but_nobody_ends_for_a_cpu() -> None:
    clock = Clock()
    clock.want("a", options='{"num_cpus": 1, "num_gpus": 1}')
    clock.ask("pool-1")
    assert clock.pools.spare({"GPU"}) == [] and clock.pools.answers() == []  # it is in use
    clock.pools.over("pool-1", "a")
    clock.ask("pool-1")
    clock.pools.spare({"CPU", "memory"})
    assert clock.pools.answers() == []
    clock.pools.spare({"GPU"})
    assert told(clock.pools.answers()) == [("pool-1", None)]


def test_slots_go_with_their_process_and_others_get_a_new_one() -> None:
    clock = Clock()
    policy = POLICY._replace(most=1)
    clock.want("a", policy=policy), clock.want("b", policy=policy)
    clock.ask("pool-1")
    lost, started = clock.pools.died("pool-1")
    assert ([each.slot for each in lost], [each.slot for each in started]) == (["a"], ["pool-2"])
    lost, started = clock.pools.died("pool-2")  # it never asked: who waited first decides what follows
    assert ([each.slot for each in lost], started) == (["b"], [])


def test_what_no_process_can_serve_is_given_up() -> None:
    clock = Clock()
    clock.want("a"), clock.want("b")
    assert [each.slot for each in clock.pools.abandon("pool-1")] == ["a", "b"]
    assert clock.pools.died("pool-1") == ([], [])


MOVES = st.tuples(st.sampled_from(["want", "ask", "over", "die", "revoke", "wait", "spare"]), st.integers(0, 7))


@given(st.lists(MOVES, max_size=60), st.integers(1, 3), st.integers(1, 3))
def test_whatever_happens_every_slot_is_served_once_and_no_process_too_much(
    moves: list[tuple[str, int]], most: int, concurrency: int
) -> None:
    clock = Clock()
    policy = POLICY._replace(most=most, concurrency=concurrency)
    runs: dict[str, str] = {}
    served: dict[str, str] = {}
    begun: Counter[str] = Counter()
    alive: list[str] = []
    asking: set[str] = set()

    def settle(unbegun: Sequence[str] = ()) -> None:
        for process in unbegun:
            alive.remove(process)
            assert clock.pools.died(process) == ([], [])
        for process, order in clock.pools.answers():
            asking.remove(process)
            if order is None:
                assert process not in served.values()
                alive.remove(process)
                clock.pools.died(process)
                continue
            served[order.slot] = process
            begun[order.slot] += 1
        assert max(begun.values(), default=1) == 1
        assert len(alive) <= most
        for process in alive:
            inside = [runs[slot] for slot, home in served.items() if home == process]
            assert len(inside) <= 1 if concurrency == 1 else len(set(inside)) == len(inside)

    def move(what: str, number: int) -> None:
        if what == "want":
            slot = f"s{len(runs)}"
            runs[slot] = f"r{number % 3}"
            alive.extend(clock.want(slot, run=runs[slot], policy=policy))
        elif what == "ask" and alive:
            process = alive[number % len(alive)]
            if concurrency > 1 or process not in served.values():
                clock.pools.ask(process)
                asking.add(process)
        elif what == "over" and served:
            slot = sorted(served)[number % len(served)]
            assert clock.pools.over(served.pop(slot), slot) is not None
        elif what == "die" and alive:
            process = alive.pop(number % len(alive))
            asking.discard(process)
            lost, started = clock.pools.died(process)
            for order in lost:
                served.pop(order.slot, None)
                begun[order.slot] = 1
            alive.extend(each.slot for each in started)
        elif what == "revoke" and runs:
            slot = f"s{number % len(runs)}"
            if clock.pools.revoke(slot):
                begun[slot] = 1
        elif what == "wait":
            clock.now += number * 10
            settle(clock.pools.tick())
        elif what == "spare":
            settle(clock.pools.spare({"GPU"}))
        settle()

    for what, number in moves:
        move(what, number)
    for _ in range(len(runs) + 1):
        for number in range(len(alive)):
            move("ask", number)
        for _ in range(len(served)):
            move("over", 0)
    assert set(begun) == set(runs)


def test_a_function_that_travels_by_value_keeps_what_it_has_loaded_in_a_pools_process() -> None:
    pickling = Pickling(Key(b"0123456789abcdef"))
    kept, plain = (flyte.TaskEnvironment("e", reusable=policy) for policy in (flyte.ReusePolicy(), None))

    def loads() -> int:
        return 1

    def are_one(env: flyte.TaskEnvironment) -> bool:
        ref = Catalog(shaping_of(None, {}), pickling).refer(env.task(loads).spec)
        first, second = (load_task(ref, pickling).func for _ in range(2))
        return first.__globals__ is second.__globals__

    assert are_one(kept) and not are_one(plain)
