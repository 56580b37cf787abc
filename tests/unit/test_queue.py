"""How many slots queued work is worth."""

from __future__ import annotations

from flyte_ray.ledger.queue import SAMPLES, Durations, ShapeQueue

PROBE_US = 300_000


class Clock:
    us = 0

    def __call__(self) -> int:
        return self.us


def queue_of(count: int, clock: Clock, durations: Durations) -> ShapeQueue:
    queue = ShapeQueue(durations, clock)
    for index in range(count):
        queue.push(f"a{index}", "task", 1)
    return queue


def test_a_new_task_is_worth_no_slot_while_one_may_measure_it_and_one_each_after_that() -> None:
    clock = Clock()
    queue = queue_of(5, clock, Durations())
    assert queue.slots_worth(PROBE_US) == 0
    assert queue.slots_worth(None) == 5
    clock.us = PROBE_US
    assert queue.slots_worth(PROBE_US) == 5


def test_while_calls_follow_each_other_their_slot_is_given_more_time_but_not_for_ever() -> None:
    clock = Clock()
    queue = queue_of(1, clock, Durations())
    worth = []
    for step in range(1, 30):
        clock.us = step * PROBE_US // 4
        queue.push(f"b{step}", "task", 1)
        worth.append(queue.slots_worth(PROBE_US))
    assert not any(worth[:20])
    assert all(worth[24:])


def test_a_task_that_is_known_is_worth_its_slots_at_once() -> None:
    durations, clock = Durations(), Clock()
    for _ in range(SAMPLES):
        durations.add("task", 0.01)
    assert queue_of(1_000, clock, durations).slots_worth(PROBE_US) == 10


def test_one_long_measurement_among_short_ones_starts_no_slots() -> None:
    durations, clock = Durations(), Clock()
    for seconds in (*[1e-5] * 20, 1.0, 1e-5):
        durations.add("task", seconds)
    assert queue_of(1_000, clock, durations).slots_worth(PROBE_US) == 1
    assert (durations.mean("task") or 0) > 0.01
    durations.add("task", 1.0)
    durations.add("task", 1.0)
    assert queue_of(1_000, clock, durations).slots_worth(PROBE_US) > 10
